package plan

import (
	"fmt"
	"syscall"
)

// The conversation between a launcher (left) and an init (right), over a SOCK_SEQPACKET pair. A message is one
// kind byte and a JSON body that may be empty. The init's end is close-on-exec: end of file is success.
//
//	MsgPlan   ->                     (to an init started as Unborn: descriptors of the plan, of 0-2, of the root if any)
//	          <- MsgForked         (exec only: another process goes on, as the launcher's child)
//	          <- MsgPrepare        (new user namespace, or cgroups to enter)
//	MsgGo     ->
//	          <- MsgRuntimeHooks   (prestart and createRuntime hooks)
//	MsgGo     ->
//	          <- MsgConsole        (with the pty master's descriptor)
//	          <- MsgCreated        (with a fifo; the launcher leaves)
//	          <- MsgLimit          (the threads that it needs are there)
//	MsgGo     ->
//	          <- MsgError | EOF
const (
	MsgPlan         = 'P'
	MsgPrepare      = 'p'
	MsgRuntimeHooks = 'h'
	MsgConsole      = 'c'
	MsgCreated      = 'r'
	MsgLimit        = 'l'
	MsgError        = 'e'
	MsgForked       = 'f' // body: Go, with Pid
	MsgGo           = 'g' // body: Go
)

// Unborn stands in an init's arguments for the number of its plan's descriptor, which comes in MsgPlan.
const Unborn = "-"

// What the init writes to the fifo of FDs.Fifo, once start reads it: FifoOpen, then end of file when execve has closed
// the fifo, or before that an Error as JSON.
const FifoOpen = 0

// Go is what the launcher tells an init.
type Go struct {
	Pid   int    `json:"pid,omitempty"`   // in the launcher's pid namespace
	State []byte `json:"state,omitempty"` // for hooks
	Error string `json:"error,omitempty"`
}

// Kind classifies a failure for the exit code.
type Kind uint8

// The kinds of failures.
const (
	KindSetup        Kind = iota // 125: the container could not be made
	KindNotFound                 // 127: there is no such command
	KindNotInvokable             // 126: it can't be executed
)

// Error is a step of the plan that could not be performed.
type Error struct {
	Step  string        `json:"step"`
	Errno syscall.Errno `json:"errno,omitempty"`
	Text  string        `json:"text,omitempty"` // reason, when it isn't an errno
	Kind  Kind          `json:"kind,omitempty"`
}

func (e *Error) Error() string {
	switch {
	case e.Text != "" && e.Step != "":
		return fmt.Sprintf("%s: %s", e.Step, e.Text)
	case e.Text != "":
		return e.Text
	case e.Errno != 0:
		return fmt.Sprintf("%s: %s", e.Step, e.Errno.Error())
	default:
		return e.Step
	}
}

// Unwrap gives the errno, so that errors.Is(err, fs.ErrNotExist) and the like hold.
func (e *Error) Unwrap() error {
	if e.Errno == 0 {
		return nil
	}
	return e.Errno
}

// ExitCode is Docker's code for the failure.
func (e *Error) ExitCode() int {
	switch e.Kind {
	case KindNotFound:
		return 127
	case KindNotInvokable:
		return 126
	default:
		return 125
	}
}
