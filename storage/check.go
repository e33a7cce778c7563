package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	cs "go.podman.io/storage"
)

// Problem is one thing Check found.
type Problem struct {
	Kind string // layer, image or container
	ID   string
	Err  error
}

// CheckOptions of Check.
type CheckOptions struct {
	Quick  bool          // leave out reading every layer to compare its digest
	MaxAge time.Duration // a younger layer of no image and no container is of one that is being made
}

// Report is what Check found; Repair removes it.
type Report struct {
	Problems []Problem
	store    *Store
	lib      cs.CheckReport
}

// Check compares the metadata with what is on disk, in both directions, without mounting anything. It sweeps before, as
// any command does: what a killed process has left is no damage.
func (s *Store) Check(ctx context.Context, o CheckOptions) (*Report, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.Sweep(); err != nil {
		return nil, err
	}
	found, err := s.lib.Check(&cs.CheckOptions{
		LayerDigests: !o.Quick, LayerData: true, ImageData: true, ContainerData: true, LayerUnreferencedMaximumAge: &o.MaxAge,
	})
	if err != nil {
		return nil, fmt.Errorf("check storage: %w", err)
	}
	r := &Report{store: s, lib: found}
	for _, part := range []struct {
		kind string
		errs map[string][]error
	}{
		{"layer", found.Layers}, {"layer", found.ROLayers}, {"image", found.Images}, {"image", found.ROImages}, {"container", found.Containers},
	} {
		for id, errs := range part.errs {
			r.Problems = append(r.Problems, Problem{Kind: part.kind, ID: id, Err: errors.Join(errs...)})
		}
	}
	slices.SortFunc(r.Problems, func(a, b Problem) int { return strings.Compare(a.Kind+a.ID, b.Kind+b.ID) })
	return r, nil
}

// Repair removes damaged images and layers, and with containers damaged containers too, those of other tools included.
// What is removed of an image can be had again; what was written in a container can't.
func (r *Report) Repair(ctx context.Context, containers bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	errs := r.store.lib.Repair(r.lib, &cs.RepairOptions{RemoveContainers: containers})
	if err := errors.Join(append(errs, r.store.Sweep(), r.store.SweepLinks())...); err != nil {
		return fmt.Errorf("repair storage: %w", err)
	}
	return nil
}
