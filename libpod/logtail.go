package libpod

import (
	"bytes"
	"os"
)

// tail finds where the last n lines begin: the index of the file and the offset in it. It reads from the end. The parts
// of a line that is in several records are counted as one, for each stream.
func tail(files []logFile, n int, parse func([]byte, *LogOptions) (LogLine, error)) (first int, at int64, err error) {
	var begun [2]bool // by stream: a record after this one belongs to a line that may begin before it
	lines := 0
	for i := len(files) - 1; i >= 0; i-- {
		if err := files[i].unpack(); err != nil {
			return 0, 0, err
		}
		st, err := files[i].Stat()
		if err != nil {
			continue
		}
		at = st.Size()
		enough := backwards(files[i].File, at, func(record []byte, offset int64) bool {
			l, err := parse(record, &LogOptions{})
			if err == nil {
				k := 0
				if l.Stderr {
					k = 1
				}
				if !l.Partial || !begun[k] {
					if lines == n {
						return false
					}
					lines++
					begun[k] = true
				}
			}
			at = offset
			return true
		})
		if enough {
			return i, at, nil
		}
	}
	return 0, 0, nil
}

// backwards hands the whole records of f, the last one first, with their offsets to fn until that says no. The records
// may be changed.
func backwards(f *os.File, size int64, fn func([]byte, int64) bool) (stopped bool) {
	const block = 64 << 10
	buf := make([]byte, 0, 2*block)
	end := size // of what buf holds
	started := false
	for {
		// The last record in buf whose start is there.
		for {
			n := bytes.LastIndexByte(buf[:max(0, len(buf)-1)], '\n')
			if n < 0 {
				break
			}
			if started && !fn(bytes.Clone(buf[n+1:len(buf)-1]), end-int64(len(buf)-n-1)) {
				return true
			}
			end -= int64(len(buf) - n - 1)
			buf, started = buf[:n+1], true
		}
		begin := end - int64(len(buf))
		if begin == 0 {
			if len(buf) > 0 && buf[len(buf)-1] == '\n' {
				return !fn(bytes.Clone(buf[:len(buf)-1]), 0)
			}
			return false
		}
		n := min(block, begin)
		grown := make([]byte, int(n)+len(buf))
		if _, err := f.ReadAt(grown[:n], begin-n); err != nil {
			return false
		}
		copy(grown[n:], buf)
		buf = grown
		if !started && end == size && len(buf) > 0 && buf[len(buf)-1] == '\n' {
			started = true
		}
	}
}
