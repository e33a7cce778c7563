package layers

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/moby/buildkit/solver/pb"
)

// read is the content of a secret; ok is false when there is none of the id.
func (s *Solver) read(id string) (data []byte, ok bool, err error) {
	sec, ok := s.Secrets[id]
	if !ok {
		return nil, false, nil
	}
	if sec.Env != "" {
		v, ok := os.LookupEnv(sec.Env)
		return []byte(v), ok, nil
	}
	data, err = os.ReadFile(sec.File)
	return data, err == nil, err
}

func noSecret(id string) error {
	return fmt.Errorf("secret %q is not given: give it with --secret id=%s,src=FILE or --secret id=%s,env=VARIABLE", id, id, id)
}

func (m *mounter) secret(mount *pb.Mount) error {
	o := mount.SecretOpt
	data, ok, err := m.solver.read(o.ID)
	if err != nil {
		return err
	}
	if !ok {
		if o.Optional {
			return nil
		}
		return noSecret(o.ID)
	}
	file := m.path()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return err
	}
	if err := os.Chown(file, int(o.Uid), int(o.Gid)); err != nil {
		return err
	}
	if err := os.Chmod(file, os.FileMode(o.Mode&0o777)); err != nil {
		return err
	}
	m.then(func() error { return os.Remove(file) })
	m.bind(file, mount.Dest, true)
	return nil
}

func (m *mounter) secretEnv(e *pb.SecretEnv) error {
	data, ok, err := m.solver.read(e.ID)
	if err != nil {
		return err
	}
	if !ok {
		if e.Optional {
			return nil
		}
		return noSecret(e.ID)
	}
	m.command.Config.Process.Env = append(m.command.Config.Process.Env, e.Name+"="+string(data))
	return nil
}

// agent mounts a socket behind which the client's ssh agent is.
func (m *mounter) agent(mount *pb.Mount) error {
	o := mount.SSHOpt
	id := o.ID
	if id == "" {
		id = "default"
	}
	socket, ok := m.solver.Agents[id]
	if !ok {
		if o.Optional {
			return nil
		}
		return fmt.Errorf("the ssh agent %q is not given: give it with --ssh %s, where SSH_AUTH_SOCK names its socket, or --ssh %s=SOCKET", id, id, id)
	}
	file := m.path()
	l, err := net.Listen("unix", file)
	if err != nil {
		return err
	}
	m.then(l.Close)
	if err := errors.Join(os.Chown(file, int(o.Uid), int(o.Gid)), os.Chmod(file, os.FileMode(o.Mode&0o777))); err != nil {
		return err
	}
	go forward(l, socket)
	m.bind(file, mount.Dest, false)
	return nil
}

// forward connects who connects to l with a socket, until l is closed.
func forward(l net.Listener, socket string) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer in.Close()
			out, err := net.Dial("unix", strings.TrimSpace(socket))
			if err != nil {
				return
			}
			defer out.Close()
			var wg sync.WaitGroup
			wg.Go(func() { io.Copy(out, in); out.(*net.UnixConn).CloseWrite() })
			wg.Go(func() { io.Copy(in, out); in.(*net.UnixConn).CloseWrite() })
			wg.Wait()
		}()
	}
}
