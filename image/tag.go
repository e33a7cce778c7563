package image

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/proa-containers/proa/storage"
)

// Tag gives an image names, as LocalName completes them. A name that another image has is taken from it.
func Tag(s *storage.Store, ref string, names []string) error {
	var full []string
	for _, n := range names {
		name, err := LocalName(n)
		if err != nil {
			return err
		}
		full = append(full, name)
	}
	i, err := writable(s, ref)
	if err != nil {
		return err
	}
	return s.AddNames(i.ID, full)
}

// Untag takes names from an image, all of them when none is given. The image stays, and so do its layers.
func Untag(s *storage.Store, ref string, names []string) error {
	i, err := writable(s, ref)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return s.RemoveNames(i.ID, i.Names)
	}
	var full []string
	for _, n := range names {
		other, err := Lookup(s, n)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if err != nil || other.ID != i.ID || !slices.Contains(i.Names, other.Match) {
			return fmt.Errorf("untag %q: %w: the image has no name %q; its names are %s", ref, ErrNotFound, n, strings.Join(i.Names, ", "))
		}
		full = append(full, other.Match)
	}
	return s.RemoveNames(i.ID, full)
}

// writable finds an image whose names can be changed.
func writable(s *storage.Store, ref string) (*Image, error) {
	i, err := Lookup(s, ref)
	if err == nil && i.ReadOnly {
		return nil, fmt.Errorf("name image %q: it is in a read-only additional image store", ref)
	}
	return i, err
}

// HasTag tells whether a name has a tag or a digest.
func HasTag(ref string) bool {
	n := splitName(ref)
	return n.tag != "" || n.digest != ""
}

// Tags are the stored names of a repository that have a tag, sorted; the repository is found as Lookup finds a name. The
// errors are ErrNotFound, ErrAmbiguous, ErrName and ErrConfig.
func Tags(s *storage.Store, repo string) ([]string, error) {
	n, err := parse(repo)
	if err != nil {
		return nil, err
	}
	if HasTag(repo) {
		return nil, fmt.Errorf("%w %q: the name of a repository has no tag", ErrName, repo)
	}
	all, err := s.Images()
	if err != nil {
		return nil, err
	}
	repos := map[string][]string{}
	for _, rec := range all {
		for _, stored := range rec.Names {
			if sn := splitName(stored); sn.digest == "" {
				repos[sn.repo] = append(repos[sn.repo], stored)
			}
		}
	}
	found, err := n.in(repos)
	if err != nil {
		return nil, err
	}
	if len(repos[found]) == 0 {
		return nil, fmt.Errorf("%w of repository %q: see proa images", ErrNotFound, repo)
	}
	slices.Sort(repos[found])
	return repos[found], nil
}

// in is the one of the repositories that a name stands for; "" when none is.
func (n name) in(repos map[string][]string) (string, error) {
	if n.qualified() {
		return n.repo, nil
	}
	files, err := readShortNames()
	if err != nil {
		return "", err
	}
	short, err := files.parse()
	if err != nil {
		return "", err
	}
	for _, repo := range short.candidates(n.repo) {
		if len(repos[repo]) > 0 {
			return repo, nil
		}
	}
	if _, ok := short.Aliases[n.repo]; ok {
		return "", nil
	}
	var ends []string
	for repo := range repos {
		if strings.HasSuffix(repo, "/"+n.repo) {
			ends = append(ends, repo)
		}
	}
	slices.Sort(ends)
	switch len(ends) {
	case 0:
		return "", nil
	case 1:
		return ends[0], nil
	}
	return "", fmt.Errorf("%w %q: it may be %s; give the full name", ErrAmbiguous, n.repo, strings.Join(ends, " or "))
}
