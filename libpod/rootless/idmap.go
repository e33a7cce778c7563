package rootless

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNoSubIDs says that the user has no subordinate ids: the namespace maps one uid and one gid.
var ErrNoSubIDs = errors.New("no subordinate ids")

// ErrNoMapper says that newuidmap or newgidmap is not in PATH.
var ErrNoMapper = errors.New("not installed")

// ErrMapperPrivilege says that newuidmap or newgidmap is there, and has no privilege over ids.
var ErrMapperPrivilege = errors.New("has neither the setuid bit of root nor the file capability, or its file system is mounted nosuid")

// Mapper is a program that writes an id map which its caller may not (newuidmap(1), newgidmap(1)).
type Mapper struct {
	Name       string
	Capability string // that it can have in place of root's setuid bit
	bit        uint
}

// Mappers are newuidmap and newgidmap.
func Mappers() [2]Mapper {
	return [2]Mapper{{"newuidmap", "cap_setuid", unix.CAP_SETUID}, {"newgidmap", "cap_setgid", unix.CAP_SETGID}}
}

// Privileged wraps ErrMapperPrivilege when the program at path is given no privilege by its mode or by its attribute
// security.capability (struct vfs_cap_data of linux/capability.h); on a file system mounted nosuid the kernel honours
// neither. Copying a program in an archive loses both.
func (m Mapper) Privileged(path string) error {
	var fs unix.Statfs_t
	var st unix.Stat_t
	if err := errors.Join(unix.Statfs(path, &fs), unix.Stat(path, &st)); err != nil {
		return fmt.Errorf("looking at %s: %w", path, err)
	}
	var attr [24]byte
	n, err := unix.Getxattr(path, "security.capability", attr[:])
	capable := err == nil && n >= 8 && binary.LittleEndian.Uint32(attr[4:])&(1<<m.bit) != 0
	if fs.Flags&unix.ST_NOSUID == 0 && (capable || st.Mode&unix.S_ISUID != 0 && st.Uid == 0) {
		return nil
	}
	return fmt.Errorf("%s %w", path, ErrMapperPrivilege)
}

// mapIDs maps the user to 0 and its subordinate ids from 1 up (user_namespaces(7)).
func mapIDs(pid int, warn func(error)) error {
	uid, gid := os.Getuid(), os.Getgid()
	uids, err := subIDs("/etc/subuid", uid, false)
	if err != nil {
		return err
	}
	gids, err := subIDs("/etc/subgid", uid, true)
	if err != nil {
		return err
	}
	if len(uids) == 0 || len(gids) == 0 {
		if warn != nil {
			warn(ErrNoSubIDs)
		}
		return mapOne(pid, uid, gid)
	}
	m := Mappers()
	if err := m[0].run(pid, uid, uids); err != nil {
		return err
	}
	return m[1].run(pid, gid, gids)
}

func mapOne(pid, uid, gid int) error {
	for _, m := range []struct{ file, text string }{
		{"uid_map", fmt.Sprintf("0 %d 1\n", uid)},
		{"setgroups", "deny"},
		{"gid_map", fmt.Sprintf("0 %d 1\n", gid)},
	} {
		path := fmt.Sprintf("/proc/%d/%s", pid, m.file)
		if err := os.WriteFile(path, []byte(m.text), 0); err != nil {
			return fmt.Errorf("%w: writing %s: %w", ErrUserNS, m.file, err)
		}
	}
	return nil
}

type idRange struct{ start, size int }

func (m Mapper) run(pid, self int, ranges []idRange) error {
	path, err := exec.LookPath(m.Name)
	if err != nil {
		return fmt.Errorf("%s is %w", m.Name, ErrNoMapper)
	}
	args := []string{strconv.Itoa(pid), "0", strconv.Itoa(self), "1"}
	next := 1
	for _, r := range ranges {
		args = append(args, strconv.Itoa(next), strconv.Itoa(r.start), strconv.Itoa(r.size))
		next += r.size
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err == nil {
		return nil
	}
	if err := m.Privileged(path); err != nil {
		return err
	}
	return fmt.Errorf("mapping ids with %s: %s (%w)", m.Name, strings.TrimSpace(string(out)), err)
}

// subIDs reads the subordinate ranges of uid from file (subuid(5)), or from getsubids where NSS holds them.
func subIDs(file string, uid int, group bool) ([]idRange, error) {
	name := strconv.Itoa(uid)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	f, err := os.Open(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("reading subordinate ids: %w", err)
	}
	var ranges []idRange
	if err == nil {
		defer f.Close()
		sc := bufio.NewScanner(f)
		for sc.Scan() {
			p := strings.Split(strings.TrimSpace(sc.Text()), ":")
			if len(p) == 3 && (p[0] == name || p[0] == strconv.Itoa(uid)) {
				ranges = appendRange(ranges, p[1], p[2])
			}
		}
		if err := sc.Err(); err != nil {
			return nil, fmt.Errorf("reading subordinate ids from %s: %w", file, err)
		}
	}
	if len(ranges) > 0 {
		return ranges, nil
	}
	return nssSubIDs(name, group), nil
}

func nssSubIDs(name string, group bool) (ranges []idRange) {
	args := []string{name}
	if group {
		args = []string{"-g", name}
	}
	path, err := exec.LookPath("getsubids")
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, args...).Output()
	if err != nil {
		return nil
	}
	for _, line := range strings.Split(string(out), "\n") { // "0: NAME START COUNT"
		if p := strings.Fields(line); len(p) == 4 {
			ranges = appendRange(ranges, p[2], p[3])
		}
	}
	return ranges
}

func appendRange(ranges []idRange, start, size string) []idRange {
	s, err1 := strconv.Atoi(start)
	n, err2 := strconv.Atoi(size)
	const ids = 1<<32 - 1 // the last number stands for no id
	if err1 != nil || err2 != nil || s <= 0 || n <= 0 || s > ids || n > ids-s {
		return ranges
	}
	return append(ranges, idRange{s, n})
}

// SubIDs counts the subordinate uids and gids of the user uid, numbered as outside proa's user namespace.
func SubIDs(uid int) (uids, gids int, err error) {
	u, err := subIDs("/etc/subuid", uid, false)
	if err != nil {
		return 0, 0, err
	}
	g, err := subIDs("/etc/subgid", uid, true)
	if err != nil {
		return 0, 0, err
	}
	for _, r := range u {
		uids += r.size
	}
	for _, r := range g {
		gids += r.size
	}
	return uids, gids, nil
}
