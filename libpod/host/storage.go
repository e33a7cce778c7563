package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/proa-containers/proa/libpod/config"
	"golang.org/x/sys/unix"
)

// Space is what is known of a file system.
type Space struct {
	Type string
	Free uint64 // bytes that this user may take
}

// lowSpace is less than an image of a usual size takes, with its layers unpacked.
const lowSpace = 1 << 30

func space(path string) (Space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return Space{}, fmt.Errorf("looking at the file system of %s: %w", path, err)
	}
	// Numbers of linux/magic.h; OpenZFS has its own.
	name := map[int64]string{
		unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs", unix.TMPFS_MAGIC: "tmpfs",
		unix.NFS_SUPER_MAGIC: "nfs", unix.OVERLAYFS_SUPER_MAGIC: "overlay", unix.FUSE_SUPER_MAGIC: "fuse", unix.SMB2_SUPER_MAGIC: "smb",
		unix.CIFS_SUPER_MAGIC: "smb", unix.F2FS_SUPER_MAGIC: "f2fs", unix.V9FS_MAGIC: "9p", 0x2fc12fc1: "zfs",
	}[int64(st.Type)]
	if name == "" {
		name = fmt.Sprintf("type %#x", st.Type)
	}
	return Space{Type: name, Free: st.Bavail * uint64(st.Bsize)}, nil
}

func nosuid(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Flags&unix.ST_NOSUID != 0
}

func (h Host) nosuid(path string) bool { return nosuid(h.path(path)) }

// storageConf is what the checks read of storage.conf.
type storageConf struct {
	Storage struct {
		Driver       string `toml:"driver"`
		GraphRoot    string `toml:"graphroot"`
		RootlessPath string `toml:"rootless_storage_path"`
	} `toml:"storage"`
}

// systemGraphRoot is root's: the files of some distributions name it for everybody.
const systemGraphRoot = "/var/lib/containers/storage"

// graphRoot is where layers are (containers-storage.conf(5)). A file that can't be read has a check of its own.
func (h Host) graphRoot() string {
	var conf storageConf
	for _, file := range h.files("storage.conf", "CONTAINERS_STORAGE_CONF") {
		_ = toml.Unmarshal([]byte(h.read(file)), &conf)
	}
	switch {
	case conf.Storage.GraphRoot != "" && !(h.Rootless && conf.Storage.GraphRoot == systemGraphRoot):
		return h.expand(conf.Storage.GraphRoot)
	case !h.Rootless:
		return systemGraphRoot
	case conf.Storage.RootlessPath != "":
		return h.expand(conf.Storage.RootlessPath)
	}
	return filepath.Join(h.dataHome(), "containers/storage")
}

func (h Host) dataHome() string {
	if dir := h.Getenv("XDG_DATA_HOME"); dir != "" {
		return dir
	}
	return filepath.Join(h.Home, ".local/share")
}

// expand replaces what storage.conf may call a user's things by.
func (h Host) expand(p string) string {
	return os.Expand(p, func(name string) string {
		switch name {
		case "HOME":
			return h.Home
		case "UID":
			return strconv.Itoa(h.UID)
		case "USER":
			return h.User
		}
		return h.Getenv(name)
	})
}

func (h Host) storage() Check {
	c := Check{Name: "storage", Needed: "images and layers"}
	if _, err := h.Dirs(); errors.Is(err, config.ErrNoDataDir) {
		return c.fail(Missing, err.Error(), h.dataDirRemedy())
	}
	root := h.graphRoot()
	s, err := h.Space(h.path(h.existing(root)))
	if err != nil {
		return c.fail(Missing, err.Error(), "mkdir -p "+root)
	}
	found := fmt.Sprintf("%s on %s, %.1f GiB free", root, s.Type, float64(s.Free)/(1<<30))
	switch {
	case s.Type == "nfs" || s.Type == "smb":
		return c.fail(Warning, found+": its server does not know your subordinate ids, so layers can't be unpacked there", h.moveStore())
	case s.Free < lowSpace:
		return c.fail(Warning, found+": an image may not fit", "proa images # then proa rmi those that you do not need")
	}
	return c.pass(found)
}

// dataDirRemedy names a home, or gives back the directory that proa may not write to.
func (h Host) dataDirRemedy() string {
	if h.Home == "" {
		return fmt.Sprintf("export HOME=\"$(getent passwd %d | cut -d: -f6)\"", h.UID)
	}
	if !h.Rootless {
		return "mount -o remount,rw \"$(findmnt -no TARGET -T /var/lib)\""
	}
	return h.sudo(fmt.Sprintf("chown %d %s", h.UID, h.existing(h.dataHome()+"/proa"))) + " # or export XDG_DATA_HOME=a directory that you can write to"
}

// moveStore has the images kept on a local file system.
func (h Host) moveStore() string {
	file := "/etc/containers/storage.conf"
	for _, f := range h.files("storage.conf", "CONTAINERS_STORAGE_CONF") {
		file = f
	}
	if h.Rootless && (strings.HasPrefix(file, "/etc/") || strings.HasPrefix(file, "/usr/")) {
		dir := "/var/tmp/" + h.User + "/storage"
		return fmt.Sprintf(`mkdir -p %s ~/.config/containers && printf '[storage]\ndriver = "overlay"\ngraphroot = "%s"\n' > ~/.config/containers/storage.conf`, dir, dir)
	}
	return h.edit(file) + " # set graphroot to a directory on ext4, xfs, btrfs or tmpfs"
}

// overlay tries one in a user namespace, of which the answer is ns.
func (h Host) overlay(ctx context.Context, ns Check) Check {
	c := Check{Name: "overlay", Needed: "sharing image layers between containers"}
	if ns.Status != OK {
		if !h.Rootless {
			return c.pass("not tried without a user namespace, and root needs none")
		}
		return c.fail(Missing, "not tried without a user namespace", ns.Remedy)
	}
	where := h.existing(h.graphRoot())
	dir, err := os.MkdirTemp(h.path(where), ".proa-doctor-")
	if err != nil {
		return c.fail(Missing, err.Error(), h.sudo(fmt.Sprintf("chown %d %s", h.UID, where)))
	}
	defer func() {
		// The kernel makes work/work with mode 0, which keeps its owner from looking for what to remove.
		_ = os.Chmod(filepath.Join(dir, "work/work"), 0o700)
		_ = os.RemoveAll(dir)
	}()
	if err := h.Overlay(ctx, dir); err != nil {
		if h.Root == "" && !strings.Contains(h.read("/proc/filesystems"), "\toverlay") {
			return c.fail(Missing, err.Error(), h.sudo("modprobe overlay")+" && echo overlay | "+h.sudo("tee /etc/modules-load.d/overlay.conf"))
		}
		return c.fail(Missing, err.Error(), h.moveStore())
	}
	return c.pass("mounted in a user namespace, on the file system of " + where)
}
