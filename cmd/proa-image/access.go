package main

import (
	"github.com/urfave/cli/v2"

	"github.com/proa-containers/proa/image/transfer"
)

// accessFlags are those of every command that reaches a registry.
func accessFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "authfile", Usage: "`FILE` with credentials", EnvVars: []string{"REGISTRY_AUTH_FILE"}},
		&cli.StringFlag{Name: "cert-dir", Usage: "`DIRECTORY` with the registry's certificates, in place of certs.d"},
		&cli.BoolFlag{Name: "tls-verify", Value: true, Usage: "verify the registry's certificate; false allows HTTP too"},
	}
}

func credsFlag() cli.Flag {
	return &cli.StringFlag{Name: "creds", Usage: "`USER:PASSWORD` for the registry"}
}

func access(c *cli.Context) transfer.Access {
	a := transfer.Access{Creds: c.String("creds"), AuthFile: c.String("authfile"), CertDir: c.String("cert-dir")}
	if c.IsSet("tls-verify") {
		verify := c.Bool("tls-verify")
		a.TLSVerify = &verify
	}
	return a
}
