package layers

import (
	"errors"

	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
)

// StepError says which step of a build failed.
type StepError struct {
	Name string
	Err  error
}

func (e *StepError) Error() string { return e.Name + ": " + e.Err.Error() }
func (e *StepError) Unwrap() error { return e.Err }

// located adds to an error the step and the lines of the Dockerfile that it comes from.
func located(v *vertex, err error) error {
	var known *StepError
	if errors.As(err, &known) {
		return err
	}
	err = &StepError{v.name(), err}
	if v.source == nil {
		return err
	}
	var ranges []*pb.Range
	for _, l := range v.from {
		ranges = append(ranges, l.Ranges...)
	}
	return errdefs.WithSource(err, &errdefs.Source{Info: v.source, Ranges: ranges})
}
