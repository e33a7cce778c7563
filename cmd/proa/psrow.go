package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/proa-containers/proa/libpod"
)

// psRow has Docker's fields, which are those of its JSON, and Podman's.
type psRow struct {
	Command, CreatedAt, ID, Image, Labels, LocalVolumes, Mounts, Names, Networks, Ports, RunningFor, Size, State, Status string

	AutoRemove, Created, CreatedHuman, Exited, ExitedAt, ExitCode, ImageID, Pid, StartedAt string `json:"-"`

	labels map[string]string // nil in the head of a table
}

// Label is the value of one label.
func (r psRow) Label(name string) string {
	if r.labels == nil {
		return strings.ToUpper(name[strings.LastIndexByte(name, '.')+1:])
	}
	return r.labels[name]
}

// head is the first line of a table, nil for none.
func (o psOptions) head() *psRow {
	if o.noHeading {
		return nil
	}
	return &psRow{
		Command: "COMMAND", CreatedAt: "CREATED AT", ID: "CONTAINER ID", Image: "IMAGE", Labels: "LABELS", LocalVolumes: "LOCAL VOLUMES", Mounts: "MOUNTS",
		Names: "NAMES", Networks: "NETWORKS", Ports: "PORTS", RunningFor: "CREATED", Size: "SIZE", State: "STATE", Status: "STATUS",
		AutoRemove: "AUTO REMOVE", Created: "CREATED", CreatedHuman: "CREATED", Exited: "EXITED", ExitedAt: "EXITED AT", ExitCode: "EXIT CODE",
		ImageID: "IMAGE ID", Pid: "PID", StartedAt: "STARTED AT",
	}
}

func printPs(a *app, o psOptions, list []libpod.Listed, sizes map[string]libpod.Size) error {
	rows := make([]psRow, 0, len(list))
	for _, l := range list {
		rows = append(rows, newPsRow(l, sizes[l.ID], o.noTrunc))
	}
	switch {
	case o.quiet && (o.format == "" || o.format == "table"):
		o.format = "{{.ID}}"
	case o.format == "json":
		return printJSONLines(a, rows)
	case o.format == "", o.format == "table":
		o.format = "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}"
		if o.size {
			o.format += "\t{{.Size}}"
		}
	}
	return printRows(a, o.format, o.head(), rows)
}

// stampLayout is how Docker writes a time in a table.
const stampLayout = "2006-01-02 15:04:05 -0700 MST"

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format(stampLayout)
}

// shorten cuts s to n characters, the last of which tells.
func shorten(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

func newPsRow(l libpod.Listed, size libpod.Size, whole bool) psRow {
	id, imageID, command := l.ID, l.ImageID, strings.Join(l.Config.Process.Args, " ")
	var labels, mounts []string
	for k, v := range l.Labels {
		labels = append(labels, k+"="+v)
	}
	slices.Sort(labels)
	for _, m := range l.Config.Mounts.List {
		source := m.Source
		if m.Volume != nil {
			source = m.Volume.Name
		}
		if source == "" {
			continue
		}
		if !whole {
			source = shorten(source, 15)
		}
		mounts = append(mounts, source)
	}
	if !whole {
		id, imageID, command = id[:12], imageID[:min(12, len(imageID))], shorten(command, 20)
	}
	name := l.Image
	if name == "" {
		name = l.ImageID[:min(12, len(l.ImageID))]
	}
	ago := units.HumanDuration(time.Since(l.Created)) + " ago"
	row := psRow{
		Command: strconv.Quote(command), CreatedAt: stamp(l.Created), ID: id, Image: name,
		Labels: strings.Join(labels, ","), LocalVolumes: strconv.Itoa(len(l.VolumeNames())), Mounts: strings.Join(mounts, ","), Names: l.Name,
		Networks: strings.Join(l.NetworkNames(), ","), Ports: portsText(l), RunningFor: ago, Size: sizeText(size),
		State: string(l.Status.State), Status: statusText(l.Status) + healthText(l),
		AutoRemove: strconv.FormatBool(l.AutoRemove), Created: ago, CreatedHuman: ago, Exited: strconv.FormatBool(l.Status.State == libpod.Exited),
		ExitedAt: stamp(l.Status.Run.FinishedAt), ExitCode: strconv.Itoa(l.Status.Run.ExitCode), ImageID: imageID, Pid: strconv.Itoa(l.Status.PID),
		StartedAt: stamp(l.Status.Run.StartedAt), labels: l.Labels,
	}
	if row.labels == nil {
		row.labels = map[string]string{}
	}
	return row
}

// sizeText is Docker's wording.
func sizeText(s libpod.Size) string {
	text := units.HumanSizeWithPrecision(float64(s.Written), 3)
	if s.Root > 0 {
		text += fmt.Sprintf(" (virtual %s)", units.HumanSizeWithPrecision(float64(s.Root), 3))
	}
	return text
}

// psOrder compares two containers by a field of --sort; nil for one that there is not.
func psOrder(field string) func(x, y libpod.Listed, sizes map[string]libpod.Size) int {
	by := func(key func(libpod.Listed) string) func(x, y libpod.Listed, _ map[string]libpod.Size) int {
		return func(x, y libpod.Listed, _ map[string]libpod.Size) int { return cmp.Compare(key(x), key(y)) }
	}
	switch field {
	case "command":
		return by(func(l libpod.Listed) string { return strings.Join(l.Config.Process.Args, " ") })
	case "created":
		return func(x, y libpod.Listed, _ map[string]libpod.Size) int { return x.Created.Compare(y.Created) }
	case "id":
		return by(func(l libpod.Listed) string { return l.ID })
	case "image":
		return by(func(l libpod.Listed) string { return l.Image })
	case "names":
		return by(func(l libpod.Listed) string { return l.Name })
	case "runningfor":
		return func(x, y libpod.Listed, _ map[string]libpod.Size) int {
			return y.Status.Run.StartedAt.Compare(x.Status.Run.StartedAt)
		}
	case "size":
		return func(x, y libpod.Listed, sizes map[string]libpod.Size) int {
			return cmp.Compare(sizes[x.ID].Written, sizes[y.ID].Written)
		}
	case "status":
		return by(func(l libpod.Listed) string { return string(l.Status.State) })
	}
	return nil
}
