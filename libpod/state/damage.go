package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"runtime/debug"

	bolterr "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

var errDamaged = errors.New("the file is damaged")

type openFunc func(name string, flag int, perm os.FileMode) (*os.File, error)

// guarded runs fn, which works on the database at path, and turns what bbolt does about a damaged file (it panics, or
// reads beyond the end of what is mapped) into an error that says so.
func guarded(path string, fn func(openFunc) error) (err error) {
	damaged := func(why any) error {
		return fmt.Errorf("%s is damaged (%v); to go on without the containers that it records, move it away", path, why)
	}
	var file *os.File
	open := func(name string, flag int, perm os.FileMode) (f *os.File, err error) {
		file, err = os.OpenFile(name, flag, perm)
		return file, err
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = damaged(r)
			// bbolt's own lock would stay: its mapping keeps the open file.
			unix.Flock(int(file.Fd()), unix.LOCK_UN)
			file.Close()
		}
	}()
	if err := whole(path); err != nil {
		return damaged(err)
	}
	err = fn(open)
	for _, e := range []error{errDamaged, bolterr.ErrInvalid, bolterr.ErrChecksum, bolterr.ErrVersionMismatch, bolterr.ErrInvalidMapping} {
		if errors.Is(err, e) {
			return damaged(err)
		}
	}
	return err
}

// whole tells whether a database is as long as it says it is: bbolt maps it and believes it. Each of the first two
// pages has a header of 16 bytes and, in the machine's byte order: magic, version, page size, flags (4 bytes each);
// root page, sequence, freelist page, number of pages, transaction, checksum (8 bytes each).
func whole(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || st.Size() == 0 {
		return err
	}
	const header, size, magic = 16, 64, 0xED0CDAED
	var pages, last uint64
	for i := range int64(2) {
		b := make([]byte, size)
		if _, err := f.ReadAt(b, i*int64(os.Getpagesize())+header); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		sum := fnv.New64a()
		sum.Write(b[:size-8])
		u64 := func(at int) uint64 { return binary.NativeEndian.Uint64(b[at:]) }
		if binary.NativeEndian.Uint32(b) == magic && sum.Sum64() == u64(size-8) && u64(48) >= last {
			pages, last = u64(40), u64(48)
		}
	}
	if need := int64(max(pages, 2)) * int64(os.Getpagesize()); st.Size() < need {
		return fmt.Errorf("it has %d bytes of %d", st.Size(), need)
	}
	return nil
}
