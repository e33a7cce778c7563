package network

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// maxFile bounds a network's file.
const maxFile = 1 << 20

// readSmall reads a regular file.
func readSmall(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, errors.Join(err, &fs.PathError{Op: "read", Path: path, Err: errors.New("it is not a regular file")})
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("it has more than %d bytes", maxFile)}
	}
	return b, err
}

// decode reads a network's file. Fields that are not known are of other versions and no error.
func decode(b []byte) (*Network, error) {
	n := &Network{}
	if err := json.Unmarshal(b, n); err != nil {
		return nil, err
	}
	return n, n.check()
}

// encode is the file of a network, in Podman's form.
func encode(n *Network) ([]byte, error) {
	return indented(n)
}

// setField changes one field of a file and keeps the rest.
func setField(b []byte, key string, value any, drop bool) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return nil, err
	}
	if drop {
		delete(fields, key)
		return indented(fields)
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	fields[key] = raw
	return indented(fields)
}

func indented(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "     ")
	err := enc.Encode(v)
	return buf.Bytes(), err
}

// idOf is the id of a network, by Podman's rule: so both have the same for the default one.
func idOf(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}

// builtin is the default network while it has no file.
func (s *Store) builtin() *Network {
	created := time.Now()
	if st, err := os.Stat(s.dir); err == nil {
		created = st.ModTime()
	}
	return &Network{
		Name: Default, ID: idOf(Default), Driver: "bridge", NetworkInterface: interfacePrefix + "0", Created: created,
		Subnets:     []Subnet{{Subnet: netip.MustParsePrefix("10.88.0.0/16"), Gateway: netip.MustParseAddr("10.88.0.1")}},
		IPAMOptions: map[string]string{"driver": hostLocal},
	}
}

// chooseNetavark notes Podman 4's choice for it, if it has none: where images are and no note, it takes CNI, and would see
// none of these networks.
func (s *Store) chooseNetavark() error {
	if _, err := os.Lstat(s.backend); err == nil {
		return nil
	}
	tmp := s.backend + ".proa"
	defer os.Remove(tmp)
	err := os.WriteFile(tmp, []byte("netavark"), 0o644)
	if err == nil {
		err = os.Link(tmp, s.backend) // unlike a rename, not over Podman's own
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("noting netavark for Podman: %w", err)
	}
	return nil
}
