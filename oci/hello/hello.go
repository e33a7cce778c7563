// Package hello is what the built-in image runs: it reads from the kernel what isolates the process it runs in, and
// prints it. It runs as the command of a container, with that container's privilege.
package hello

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// Run writes the report.
func Run(w io.Writer) error {
	status := fields("/proc/self/status")
	host, _ := os.Hostname()
	var b strings.Builder
	fmt.Fprintf(&b, "Hello from a container, without root and without a daemon.\n\n")
	for _, l := range [][2]string{
		{"process", fmt.Sprintf("pid %d, uid %d, gid %d, host name %s", os.Getpid(), os.Getuid(), os.Getgid(), host)},
		{"uid map", idMap("/proc/self/uid_map")},
		{"gid map", idMap("/proc/self/gid_map")},
		{"namespaces", namespaces()},
		{"capabilities", capabilities(status["CapEff"], status["CapBnd"])},
		{"seccomp", mode(status["Seccomp"], status["Seccomp_filters"])},
		{"new privs", map[string]string{"0": "allowed", "1": "forbidden (no_new_privs)"}[status["NoNewPrivs"]]},
		{"root", root()},
		{"cgroup", firstLine("/proc/self/cgroup")},
	} {
		if l[1] != "" {
			fmt.Fprintf(&b, "  %-13s %s\n", l[0], l[1])
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func fields(path string) map[string]string {
	out := map[string]string{}
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, ":"); ok {
			out[k] = strings.TrimSpace(v)
		}
	}
	return out
}

// idMap says which outer ids the container's are (user_namespaces(7)).
func idMap(path string) string {
	text, _ := os.ReadFile(path)
	var out []string
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		in, _ := strconv.ParseUint(f[0], 10, 64)
		n, _ := strconv.ParseUint(f[2], 10, 64)
		if n == 1 {
			out = append(out, fmt.Sprintf("%s is %s on the host", f[0], f[1]))
		} else {
			out = append(out, fmt.Sprintf("%s-%d are %s and up", f[0], in+n-1, f[1]))
		}
	}
	return strings.Join(out, ", ")
}

func namespaces() string {
	var out []string
	for _, ns := range []string{"user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"} {
		link, err := os.Readlink("/proc/self/ns/" + ns)
		if err == nil {
			out = append(out, ns+" "+strings.Trim(strings.TrimPrefix(link, ns+":"), "[]"))
		}
	}
	return strings.Join(out, ", ")
}

func capabilities(effective, bounding string) string {
	count := func(s string) int {
		n, _ := strconv.ParseUint(s, 16, 64)
		bits := 0
		for ; n != 0; n &= n - 1 {
			bits++
		}
		return bits
	}
	return fmt.Sprintf("%d in effect (%s), at most %d, over the container alone", count(effective), effective, count(bounding))
}

func mode(m, filters string) string {
	switch m {
	case "2":
		return "filter in force (" + filters + ")"
	case "0":
		return "no filter"
	}
	return m
}

func root() string {
	text, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 3 && f[1] == "/" {
			return f[2] + ", " + strings.Split(f[3], ",")[0]
		}
	}
	return ""
}

func firstLine(path string) string {
	text, _ := os.ReadFile(path)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}
