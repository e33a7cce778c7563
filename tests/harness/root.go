package harness

import (
	"fmt"
	"strconv"
)

// CommandIn prepares a program that is run as the user after root has changed, in a mount namespace of its own, what
// the host looks like: script is a shell script. Only for tests that require root.
func (e *Env) CommandIn(script string, args ...string) *Cmd {
	c := e.Command(args...)
	inner := fmt.Sprintf(`%s && exec setpriv --reuid=%d --regid=%d --clear-groups --inh-caps=-all "$@"`, script, e.UID, e.GID)
	c.Args = append([]string{"unshare", "--mount", "--propagation", "private", "sh", "-c", inner, strconv.Itoa(e.UID)}, c.Args...)
	asRoot := *e
	asRoot.asRoot = false // start as whoever runs the tests
	c.env = &asRoot
	return c
}

// CommandAsRoot prepares a program to be run as root. Only for tests that require root.
func (e *Env) CommandAsRoot(args ...string) *Cmd {
	asRoot := *e
	asRoot.asRoot = false // start as whoever runs the tests
	return &Cmd{Args: args, env: &asRoot}
}
