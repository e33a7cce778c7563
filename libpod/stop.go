package libpod

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/moby/sys/signal"
	"golang.org/x/sys/unix"
)

// defaultStopTimeout is Docker's, in seconds.
const defaultStopTimeout = 10

// Signal parses a signal's name, with or without SIG, or number.
func Signal(name string) (unix.Signal, error) {
	s, err := signal.ParseSignal(strings.ToUpper(name))
	if err != nil || s < 1 || s > 64 {
		return 0, fmt.Errorf("invalid signal %q: a name as SIGTERM or a number from 1 to 64", name)
	}
	return s, nil
}

// Stop asks the container to end with its stop signal and kills it after timeout seconds; -1 waits for ever, nil is
// the container's own. A container that does not run is left as it is.
func (e *Engine) Stop(ctx context.Context, c *Container, sig string, timeout *int) error {
	if sig == "" {
		sig = c.StopSignal
	}
	if sig == "" {
		sig = "SIGTERM"
	}
	num, err := Signal(sig)
	if err != nil {
		return err
	}
	seconds := defaultStopTimeout
	if c.StopTimeout != nil {
		seconds = *c.StopTimeout
	}
	if timeout != nil {
		seconds = *timeout
	}
	if err := e.stayPut(c); err != nil {
		return fmt.Errorf("stopping container %q: %w", c.Name, err)
	}
	st := e.Status(c)
	if st.State == Restarting {
		e.endWait(c)
		if st = e.Status(c); st.State == Exited {
			return e.settleSoon(c)
		}
	}
	if st.State == Initialized { // there is no command yet to ask
		return errors.Join(e.killNow(ctx, c), e.settleSoon(c))
	}
	if st.State != Running && st.State != Paused {
		_, err := e.settle(c)
		return err
	}
	if st.State == Paused {
		if err := e.thaw(c); err != nil {
			return err
		}
	}
	e.wake(c.ID) // what the container says at its end is to be read
	var wrong *WrongStateError
	if err := e.signal(c, num); err != nil && !errors.As(err, &wrong) {
		return err
	}
	wait, cancel := context.WithCancel(ctx)
	if seconds >= 0 {
		wait, cancel = context.WithTimeout(ctx, time.Duration(seconds)*time.Second)
	}
	defer cancel()
	if _, err := e.Wait(wait, c); err == nil {
		e.say(c, "stop")
		return e.settleSoon(c)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := e.killNow(ctx, c); err != nil {
		return err
	}
	e.say(c, "stop")
	return e.settleSoon(c)
}

// Restart stops the container, if it runs, and starts it again. One that goes when it ends stays meanwhile.
func (e *Engine) Restart(ctx context.Context, c *Container, sig string, timeout *int) (err error) {
	if c.AutoRemove {
		var release func()
		if release, err = e.keep(c.ID); err != nil {
			return err
		}
		defer func() {
			if release(); err == nil {
				return
			}
			if _, failed := e.settle(c); failed != nil {
				e.warn(failed)
			}
		}()
	}
	if err := e.Stop(ctx, c, sig, timeout); err != nil {
		return err
	}
	r, err := e.state.Find(c.ID) // as the stop has left it
	if err != nil {
		return err
	}
	now, err := decode(r)
	if err != nil {
		return err
	}
	if _, err = e.Start(ctx, now, StartOptions{}); err == nil {
		e.say(now, "restart")
	}
	return err
}

// Kill sends a signal to the container's init.
func (e *Engine) Kill(c *Container, sig string) error {
	num, err := Signal(sig)
	if err != nil {
		return err
	}
	if c.restarts() && c.endingSignal(num) {
		if err := e.stayPut(c); err != nil {
			return fmt.Errorf("ending container %q: %w", c.Name, err)
		}
		if e.Status(c).State == Restarting {
			e.endWait(c)
			if e.Status(c).State == Exited {
				return e.settleSoon(c)
			}
		}
	}
	if num == unix.SIGKILL && e.Status(c).State == Paused {
		if err := e.thaw(c); err != nil {
			return err
		}
	}
	return e.signal(c, num)
}

// settleSoon settles a container that has ended, giving its monitor a moment to go.
func (e *Engine) settleSoon(c *Container) error {
	for range 200 {
		if !e.wake(c.ID) {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	_, err := e.settle(c)
	return err
}
