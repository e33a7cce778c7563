package seccomp

import "golang.org/x/sys/unix"

const (
	sysRead   = unix.SYS_READ
	sysKeyctl = unix.SYS_KEYCTL
	sysBPF    = unix.SYS_BPF
	sysMount  = unix.SYS_MOUNT
	sysModule = unix.SYS_INIT_MODULE
)
