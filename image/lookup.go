package image

import (
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/proa-containers/proa/storage"
)

// name is an image name taken apart. repo has the registry if one was given; tag and digest may be empty.
type name struct{ repo, tag, digest string }

func splitName(s string) name {
	var n name
	n.repo = s
	if i := strings.IndexByte(n.repo, '@'); i >= 0 {
		n.repo, n.digest = n.repo[:i], n.repo[i+1:]
	}
	if i := strings.LastIndexByte(n.repo, ':'); i > strings.LastIndexByte(n.repo, '/') {
		n.repo, n.tag = n.repo[:i], n.repo[i+1:]
	}
	return n
}

func (n name) qualified() bool {
	domain, _, ok := strings.Cut(n.repo, "/")
	return ok && (strings.ContainsAny(domain, ".:") || domain == "localhost")
}

// String is the name as it is stored: a digest takes the place of a tag.
func (n name) String() string {
	if n.digest != "" {
		return n.repo + "@" + n.digest
	}
	return n.repo + ":" + n.tag
}

// parse checks a name and completes it: the tag latest, docker.io's library.
func parse(s string) (name, error) {
	n := splitName(s)
	if n.digest == "" && n.tag == "" {
		n.tag = "latest"
	}
	path := strings.TrimPrefix(n.repo, "docker.io/")
	if path != n.repo && !strings.Contains(path, "/") {
		n.repo = "docker.io/library/" + path
	}
	_, path, _ = strings.Cut(n.repo, "/")
	if !n.qualified() {
		path = n.repo
	}
	switch {
	case n.repo == "" || strings.HasSuffix(s, ":") || strings.HasSuffix(s, "@"):
		return n, fmt.Errorf("%w %q: want [REGISTRY/]REPOSITORY[:TAG|@DIGEST]", ErrName, s)
	case path != strings.ToLower(path):
		return n, fmt.Errorf("%w %q: a repository name is in lower case", ErrName, s)
	case strings.ContainsFunc(path, func(r rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789._-/", r) }),
		strings.Contains(path, "//"), strings.HasPrefix(path, "/"), strings.HasSuffix(path, "/"):
		return n, fmt.Errorf("%w %q: a repository name has only letters, digits, \".\", \"_\", \"-\" and \"/\" between them", ErrName, s)
	case n.digest != "" && !validDigest(n.digest):
		return n, fmt.Errorf("%w %q: a digest is sha256: and 64 hexadecimal digits", ErrName, s)
	}
	return n, nil
}

func validDigest(s string) bool {
	algorithm, hex, ok := strings.Cut(s, ":")
	sizes := map[string]int{"sha256": 64, "sha384": 96, "sha512": 128}
	return ok && len(hex) == sizes[algorithm] && isHex(hex)
}

func isHex(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune("0123456789abcdef", r) })
}

// Lookup finds a local image by id, unique prefix of an id, digest, or name. A name without a registry is, in this order:
// an alias of registries.conf, localhost/NAME, docker.io/library/NAME, NAME on each of the unqualified-search registries,
// and, unless there is an alias, any stored name that ends in /NAME. The errors are ErrNotFound, ErrAmbiguous, ErrName
// and ErrConfig.
func Lookup(s *storage.Store, ref string) (*Image, error) {
	all, err := s.Images()
	if err != nil {
		return nil, err
	}
	return find(s, all, ref)
}

func find(s *storage.Store, all []storage.Image, ref string) (*Image, error) {
	rec, match, err := findRecord(all, ref)
	if err != nil {
		return nil, err
	}
	i, err := newImage(s, rec)
	if err != nil {
		return nil, err
	}
	i.Match = match
	return i, nil
}

func findRecord(all []storage.Image, ref string) (storage.Image, string, error) {
	id := strings.TrimPrefix(ref, "sha256:")
	if len(id) == 64 && isHex(id) {
		for _, rec := range all {
			if rec.ID == id {
				return rec, "", nil
			}
		}
		if id != ref {
			if rec, ok := byDigest(all, ref, ""); ok {
				return rec, "", nil
			}
		}
	}
	n, nameErr := parse(ref)
	if nameErr == nil {
		rec, match, ok, err := byName(all, n, ref)
		if ok || err != nil {
			return rec, match, err
		}
	}
	if isHex(id) {
		if rec, ok, err := byPrefix(all, id); ok || err != nil {
			return rec, "", err
		}
	}
	if nameErr != nil && !isHex(id) {
		return storage.Image{}, "", nameErr
	}
	return storage.Image{}, "", fmt.Errorf("%w %q: pull it with proa pull, or see proa images", ErrNotFound, ref)
}

func byPrefix(all []storage.Image, prefix string) (storage.Image, bool, error) {
	var found []storage.Image
	for _, rec := range all {
		if strings.HasPrefix(rec.ID, prefix) {
			found = append(found, rec)
		}
	}
	if len(found) > 1 {
		return storage.Image{}, false, fmt.Errorf("%w: %d image ids begin with %q; give more digits", ErrAmbiguous, len(found), prefix)
	}
	if len(found) == 0 {
		return storage.Image{}, false, nil
	}
	return found[0], true, nil
}

// byDigest finds the image with a manifest digest; with a repository, one that is named after it.
func byDigest(all []storage.Image, sum, repo string) (storage.Image, bool) {
	for _, rec := range all {
		has := false
		for _, d := range rec.Digests {
			has = has || d.String() == sum
		}
		if !has {
			continue
		}
		if repo == "" || slices.ContainsFunc(rec.Names, func(n string) bool { return splitName(n).repo == repo }) {
			return rec, true
		}
	}
	return storage.Image{}, false
}

func byName(all []storage.Image, n name, ref string) (rec storage.Image, match string, ok bool, err error) {
	exact := func(n name) bool {
		if n.digest != "" {
			rec, ok = byDigest(all, n.digest, n.repo)
			match = n.String()
			return ok
		}
		for _, r := range all {
			if slices.Contains(r.Names, n.String()) {
				rec, match, ok = r, n.String(), true
			}
		}
		return ok
	}
	if n.qualified() {
		exact(n)
		return rec, match, ok, nil
	}
	files, err := readShortNames()
	if err != nil {
		return rec, "", false, err
	}
	matches := bySuffix(all, n)
	if len(matches) == 1 && files.onlyAlias(n.repo, splitName(matches[0].name).repo) {
		return matches[0].rec, matches[0].name, true, nil // no other name is left that another image could have
	}
	short, err := files.parse()
	if err != nil {
		return rec, "", false, err
	}
	for _, repo := range short.candidates(n.repo) {
		if exact(name{repo, n.tag, n.digest}) {
			return rec, match, true, nil
		}
	}
	if _, ok := short.Aliases[n.repo]; ok || len(matches) == 0 {
		return rec, "", false, nil
	}
	if len(matches) == 1 {
		return matches[0].rec, matches[0].name, true, nil
	}
	var names []string
	for _, m := range matches {
		names = append(names, m.name)
	}
	return rec, "", false, fmt.Errorf("%w %q: it may be %s; give the full name", ErrAmbiguous, ref, strings.Join(names, " or "))
}

type nameMatch struct {
	rec  storage.Image
	name string
}

// bySuffix finds the images with a name that ends in /n, each once. The built-in image is found by its short name only
// when no other is.
func bySuffix(all []storage.Image, n name) []nameMatch {
	var matches, builtin []nameMatch
	for _, rec := range all {
		for _, stored := range rec.Names {
			sn := splitName(stored)
			if !strings.HasSuffix(sn.repo, "/"+n.repo) {
				continue
			}
			if n.digest != "" && !slices.ContainsFunc(rec.Digests, func(d digest.Digest) bool { return d.String() == n.digest }) || n.digest == "" && sn.tag != n.tag {
				continue
			}
			if stored == HelloName && n.repo == "hello" {
				builtin = append(builtin, nameMatch{rec, stored})
			} else {
				matches = append(matches, nameMatch{rec, stored})
			}
			break
		}
	}
	if len(matches) == 0 {
		return builtin
	}
	return matches
}
