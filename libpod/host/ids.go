package host

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/proa-containers/proa/libpod/rootless"
)

// subIDCount is what one user usually gets: images use ids up to 65534, "nobody".
const subIDCount = 65536

type idRange struct {
	owner       string
	start, size int
}

func (r idRange) String() string { return fmt.Sprintf("%d-%d", r.start, r.start+r.size-1) }

func (r idRange) meets(o idRange) bool { return r.start < o.start+o.size && o.start < r.start+r.size }

// ranges reads a file of subordinate ids (subuid(5)).
func (h Host) ranges(file string) (out []idRange) {
	for line := range strings.Lines(h.read(file)) {
		part := strings.Split(strings.TrimSpace(line), ":")
		if len(part) != 3 {
			continue
		}
		start, err1 := strconv.Atoi(part[1])
		size, err2 := strconv.Atoi(part[2])
		if err1 == nil && err2 == nil && start > 0 && size > 0 {
			out = append(out, idRange{part[0], start, size})
		}
	}
	return out
}

// owners are the uids or gids that accounts have of their own (passwd(5), group(5): the third field).
func (h Host) owners(file string) (out []idRange) {
	for line := range strings.Lines(h.read(file)) {
		if part := strings.Split(line, ":"); len(part) > 2 {
			if id, err := strconv.Atoi(part[2]); err == nil {
				out = append(out, idRange{part[0], id, 1})
			}
		}
	}
	return out
}

func (h Host) subIDs() Check {
	c := Check{Name: "subuid, subgid", Needed: "more than one uid and gid in a container; 65536 of each for most images"}
	uids, gids, err := h.SubIDs(h.UID)
	remedy := h.addSubIDs()
	switch found := fmt.Sprintf("%d uids, %d gids", uids, gids); {
	case err != nil:
		return c.fail(Missing, err.Error(), remedy)
	case uids == 0 || gids == 0:
		return c.fail(Missing, rootless.ErrNoSubIDs.Error()+": "+found, remedy)
	case uids < subIDCount-1 || gids < subIDCount-1:
		return c.fail(Warning, found+": an image with higher ids can't be unpacked", remedy)
	default:
		if shared, remedy := h.sharedSubIDs(); shared != "" {
			return c.fail(Warning, found+"; "+shared, remedy)
		}
		return c.pass(found)
	}
}

// sharedSubIDs says which ranges of the user's somebody else has too, and how to get others.
func (h Host) sharedSubIDs() (found, remedy string) {
	var drop, say []string
	for _, f := range []struct{ file, accounts string }{{"/etc/subuid", "/etc/passwd"}, {"/etc/subgid", "/etc/group"}} {
		all := h.ranges(f.file)
		mine := func(r idRange) bool { return r.owner == h.User || r.owner == strconv.Itoa(h.UID) }
		for _, m := range all {
			if !mine(m) {
				continue
			}
			for _, o := range append(slices.DeleteFunc(slices.Clone(all), mine), h.owners(f.accounts)...) {
				if m.meets(o) {
					say = append(say, fmt.Sprintf("%s of %s meets %s of %s", m, f.file, o, o.owner))
					// usermod takes none away from a user who has a process.
					drop = append(drop, h.sudo(fmt.Sprintf("sed -i '/^%s:%d:%d$/d' %s", m.owner, m.start, m.size, f.file)))
					break
				}
			}
		}
	}
	if len(say) == 0 {
		return "", ""
	}
	return strings.Join(say, ", ") + ": each can reach the other's files",
		strings.Join(drop, " && ") + " && " + h.addSubIDs()
}

// addSubIDs gives the user subordinate ids behind all that the files give anybody: users who share some can reach each
// other's files. The pause process keeps the mapping it was started with.
func (h Host) addSubIDs() string {
	start := 100000
	for _, r := range append(h.ranges("/etc/subuid"), h.ranges("/etc/subgid")...) {
		start = max(start, r.start+r.size)
	}
	add := h.sudo(fmt.Sprintf("usermod --add-subuids %[1]s --add-subgids %[1]s %[2]s", idRange{"", start, subIDCount}, h.User))
	if h.find("usermod") == "" { // as with BusyBox
		add = fmt.Sprintf("echo %s:%d:%d | %s", h.User, start, subIDCount, h.sudo("tee -a /etc/subuid /etc/subgid"))
	}
	return add + " && { pkill -u " + h.User + " -f '^proa-pause ' || true; }"
}

// mappers: newuidmap writes a map that its caller may not.
func (h Host) mappers() Check {
	c := Check{Name: "newuidmap, newgidmap", Needed: "mapping the subordinate ids"}
	var found []string
	for _, m := range rootless.Mappers() {
		path := h.look(m.Name)
		if path == "" {
			return c.fail(Missing, fmt.Sprintf("%s is %v", m.Name, rootless.ErrNoMapper), h.install(uidmap))
		}
		if err := h.Privileged(m, h.path(path)); err != nil {
			remedy := h.sudo("chown root:root "+path) + " && " + h.sudo("chmod u+s "+path)
			if h.nosuid(path) {
				remedy = h.sudo("mount -o remount,suid \"$(findmnt -no TARGET -T " + path + ")\"")
			}
			return c.fail(Missing, strings.ReplaceAll(err.Error(), h.path(path), path), remedy)
		}
		found = append(found, path)
	}
	return c.pass(strings.Join(found, ", "))
}
