package layers

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	ftree "github.com/proa-containers/proa/libpod/tree"
)

// contents remembers the digests of files by what changes with their content: the inode, its size and its times. Layout of
// its file: a line for each file, "DEVICE INODE SIZE MTIME CTIME DIGEST". A line that can't be read is none.
type contents struct {
	path  string
	mu    sync.Mutex
	known map[stamp]string
	seen  map[stamp]bool
	fresh bool // there is something to save
}

type stamp struct {
	dev, ino            uint64
	size, mtime, change int64
}

// settle is how long a file has to be left alone until its times tell of a change: a second change within the same tick
// of the clock that the file system uses would not be seen.
const settle = 2 * time.Second

// mostContents bounds what is remembered.
const mostContents = 500_000

func openContents(path string) (*contents, error) {
	c := &contents{path: path, known: map[stamp]string{}, seen: map[stamp]bool{}}
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		return c, nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening the build cache: %w", err)
	}
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		var st stamp
		var sum string
		if n, _ := fmt.Sscan(in.Text(), &st.dev, &st.ino, &st.size, &st.mtime, &st.change, &sum); n == 6 && len(sum) == 2*sha256.Size {
			c.known[st] = sum
		}
	}
	return c, nil
}

// sum is the digest of a file's content.
func (c *contents) sum(n *ftree.Node) (string, error) {
	st := stamp{uint64(n.Stat.Dev), n.Stat.Ino, n.Stat.Size, n.Stat.Mtim.Nano(), n.Stat.Ctim.Nano()}
	c.mu.Lock()
	sum, ok := c.known[st]
	c.seen[st] = c.seen[st] || ok
	c.mu.Unlock()
	if ok {
		return sum, nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, n.Content); err != nil {
		return "", err
	}
	sum = hex.EncodeToString(h.Sum(nil))
	var after unix.Stat_t
	f, isFile := n.Content.(*os.File)
	if !isFile || unix.Fstat(int(f.Fd()), &after) != nil || after.Mtim != n.Stat.Mtim || after.Ctim != n.Stat.Ctim || time.Since(time.Unix(0, st.change)) < settle {
		return sum, nil
	}
	c.mu.Lock()
	c.known[st], c.seen[st], c.fresh = sum, true, true
	c.mu.Unlock()
	return sum, nil
}

// save writes what is known for the next build. Builds that end at once write one after another; what the first learned
// is learned anew.
func (c *contents) save() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.fresh {
		return nil
	}
	var b strings.Builder
	for st, sum := range c.known {
		if len(c.known) > mostContents && !c.seen[st] {
			continue
		}
		fmt.Fprintln(&b, st.dev, st.ino, st.size, st.mtime, st.change, sum)
	}
	tmp := fmt.Sprintf("%s.%d", c.path, os.Getpid())
	err := os.WriteFile(tmp, []byte(b.String()), 0o600)
	if err == nil {
		err = os.Rename(tmp, c.path)
	}
	if err != nil {
		os.Remove(tmp)
		return fmt.Errorf("writing the build cache: %w", err)
	}
	return nil
}
