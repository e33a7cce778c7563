package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/proa-containers/proa/image/transfer"
)

func newLogin(a *app) *cli.Command {
	return &cli.Command{
		Name:      "login",
		Usage:     "try credentials on a registry and keep them",
		ArgsUsage: "[REGISTRY]",
		Description: "Without a registry it is Docker Hub. Credentials that are kept already are tried first; a user name and a password that no option gives " +
			"are asked for on the terminal.",
		Flags: append(accessFlags(),
			compatAuthFileFlag(),
			&cli.BoolFlag{Name: "get-login", Usage: "print the user name that is kept for the registry, and ask it nothing"},
			&cli.StringFlag{Name: "password", Aliases: []string{"p"}, Usage: "`PASSWORD`, which other users of the host can see in the list of processes"},
			&cli.BoolFlag{Name: "password-stdin", Usage: "read the password from standard input"},
			&cli.StringFlag{Name: "username", Aliases: []string{"u"}, Usage: "`NAME` of the user"},
			&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "tell where the credentials are kept"},
		),
		Action: func(c *cli.Context) error { return runLogin(a, c) },
	}
}

func compatAuthFileFlag() cli.Flag {
	return &cli.StringFlag{Name: "compat-auth-file", Usage: "`FILE` in the form of Docker's config.json to keep them in, in place of auth.json"}
}

func keychain(c *cli.Context) (*transfer.Keychain, error) {
	if c.NArg() > 1 {
		return nil, fmt.Errorf("%s takes one registry; it was given %q", c.Command.Name, c.Args().Slice())
	}
	o := transfer.KeychainOptions{Access: access(c), Registry: c.Args().First(), CompatAuthFile: c.String("compat-auth-file")}
	if o.CompatAuthFile != "" && !c.IsSet("authfile") {
		o.AuthFile = ""
	}
	return transfer.OpenKeychain(o)
}

func runLogin(a *app, c *cli.Context) error {
	user, password, fromStdin := c.String("username"), c.String("password"), c.Bool("password-stdin")
	switch {
	case fromStdin && c.IsSet("password"):
		return errors.New("give either --password or --password-stdin")
	case fromStdin && user == "":
		return errors.New("--password-stdin needs --username")
	case c.Bool("get-login") && (fromStdin || user != "" || c.IsSet("password")):
		return errors.New("--get-login takes neither a user name nor a password")
	}
	k, err := keychain(c)
	if err != nil {
		return err
	}
	if c.Bool("get-login") {
		return getLogin(a, k)
	}
	if c.IsSet("password") {
		fmt.Fprintln(a.err, "proa: warning: --password can be seen by others in the list of processes; use --password-stdin")
	}
	if fromStdin {
		if password, err = readPassword(a.in); err != nil {
			return err
		}
	}
	if password == "" {
		if user, password, err = missingCredentials(c.Context, a, k, user); err != nil || password == "" {
			return err
		}
	}
	return login(a, c, k, user, password)
}

func login(a *app, c *cli.Context, k *transfer.Keychain, user, password string) error {
	if user == "" {
		var err error
		if user, err = ask(c.Context, a, "Username: ", false); err != nil {
			return err
		}
	}
	if err := k.Try(c.Context, user, password); err != nil {
		return err
	}
	where, err := k.Set(user, password)
	if err != nil {
		return err
	}
	if c.Bool("verbose") {
		fmt.Fprintln(a.out, "Used:", where)
	}
	fmt.Fprintln(a.out, "Login Succeeded!")
	return nil
}

func getLogin(a *app, k *transfer.Keychain) error {
	user, _, err := k.Get()
	if err == nil && user == "" {
		err = fmt.Errorf("%w to %s", transfer.ErrNotLoggedIn, k.Registry())
	}
	if err == nil {
		fmt.Fprintln(a.out, user)
	}
	return err
}

// missingCredentials tries what is kept, and asks when that is nothing or another user's. The password is empty when what
// is kept serves.
func missingCredentials(ctx context.Context, a *app, k *transfer.Keychain, user string) (string, string, error) {
	kept, password, err := k.Get()
	if err != nil {
		return "", "", err
	}
	if kept != "" && password != "" && (user == "" || user == kept) {
		err := k.Try(ctx, kept, password)
		if err == nil {
			fmt.Fprintf(a.out, "Already logged in to %s as %s\nLogin Succeeded!\n", k.Registry(), kept)
			return kept, "", nil
		}
		if !errors.Is(err, transfer.ErrUnauthorized) {
			return "", "", err
		}
		fmt.Fprintf(a.err, "proa: warning: the registry does not take the credentials of %s that are kept\n", kept)
	}
	if user == "" {
		prompt := "Username: "
		if kept != "" {
			prompt = fmt.Sprintf("Username (%s): ", kept)
		}
		if user, err = ask(ctx, a, prompt, false); err != nil {
			return "", "", err
		}
		if user == "" {
			user = kept
		}
	}
	if user == "" {
		return "", "", errors.New("login: no user name was given")
	}
	password, err = ask(ctx, a, "Password: ", true)
	if err == nil && password == "" {
		err = errors.New("login: no password was given")
	}
	return user, password, err
}

// readPassword reads it to the end; a new line behind it is not of it.
func readPassword(in io.Reader) (string, error) {
	const most = 1 << 20
	data, err := io.ReadAll(io.LimitReader(in, most+1))
	if err != nil {
		return "", fmt.Errorf("read the password from standard input: %w", err)
	}
	password := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	switch {
	case password == "":
		return "", errors.New("login: standard input has no password")
	case len(data) > most:
		return "", errors.New("login: what standard input has is too long for a password")
	}
	return password, nil
}

// ask reads a line from the terminal, unseen if it is a secret.
func ask(ctx context.Context, a *app, prompt string, secret bool) (string, error) {
	fd := int(a.in.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", errors.New("login: standard input is no terminal to ask on; give --username and --password-stdin")
	}
	fmt.Fprint(a.err, prompt)
	type answer struct {
		text string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		if secret {
			data, err := term.ReadPassword(fd)
			got <- answer{string(data), err}
			return
		}
		line, err := bufio.NewReader(a.in).ReadString('\n')
		got <- answer{strings.TrimSpace(line), err}
	}()
	var r answer
	select {
	case r = <-got:
	case <-ctx.Done():
		r.err = fmt.Errorf("login: %w", transfer.ErrInterrupted)
	}
	_ = term.Restore(fd, before)
	if secret || r.err != nil {
		fmt.Fprintln(a.err)
	}
	if errors.Is(r.err, io.EOF) {
		r.err = errors.New("login: the input ended")
	}
	return r.text, r.err
}
