package tests

import (
	"fmt"
	"math/rand/v2"
	"strconv"
)

// command is a random command line.
func (c *chaos) command(r *rand.Rand) []string {
	// The first ones more often: more that meet there.
	ctr := fmt.Sprintf("c%d", min(r.IntN(chaosContainers), r.IntN(chaosContainers)))
	n := r.IntN(chaosImages)
	vol := fmt.Sprintf("v%d", r.IntN(chaosVolumes))
	img := chaosImage(n)
	long := []string{"sh", "-c", "trap 'exit 7' TERM; echo begin; while :; do sleep 0.1; done"}
	if r.IntN(3) == 0 {
		long = []string{"sleep", "1000"}
	}
	run := func(verb string, flags ...string) []string {
		return append([]string{verb, "--network=none", "--pull=never", "--name", ctr}, flags...)
	}
	type choice struct {
		weight int
		args   []string
	}
	choices := []choice{
		{12, append(append(run("run", "-d"), img), long...)},
		{5, append(append(run("run", "-d", "--rm"), img), long...)},
		{8, append(run("run", "--rm"), img, "sh", "-c", "echo x > /f; cat /own | wc -c")},
		{4, append(run("run"), img, "sh", "-c", "echo out; echo err >&2; exit 3")},
		{3, append(run("run", "-d"), img, "true")},
		{2, append(run("run"), img, "/no/such/program")},
		{5, append(append(run("create"), img), long...)},
		{1, append(append(run("create", "--rm"), img), long...)},
		{7, []string{"start", ctr}},
		{6, []string{"stop", "-t", strconv.Itoa(r.IntN(2)), ctr}},
		{3, []string{"restart", "-t", "0", ctr}},
		{6, []string{"kill", "-s", []string{"KILL", "TERM", "USR1"}[r.IntN(3)], ctr}},
		{14, []string{"rm", "-f", ctr}},
		{4, []string{"rm", ctr}},
		{7, []string{"exec", ctr, "sh", "-c", "echo hi; exit 4"}},
		{2, []string{"exec", "-d", ctr, "sleep", "100"}},
		{3, []string{"debug", ctr, "sh", "-c", "echo x > /f; sleep 100 & cat own | wc -c"}},
		{2, []string{"debug", "--writable", "--image", img, "--pull=never", ctr, "touch", "tmp/debugged"}},
		{3, []string{"rename", ctr, fmt.Sprintf("c%d", r.IntN(chaosContainers))}},
		{5, []string{"ps", "-a"}},
		{4, []string{"inspect", ctr}},
		{3, []string{"logs", ctr}},
		{1, []string{"logs", "-f", ctr}},
		{2, []string{"wait", ctr}},
		{1, []string{"attach", ctr}},
		{4, []string{"load", "-i", c.archives[n]}},
		{3, []string{"rmi", img}},
		{1, []string{"rmi", "-f", img}},
		{2, []string{"images"}},
		{1, []string{"info"}},
		{3, append(append(run("run", "-d", "--restart=always", "-v", vol+":/data"), img), long...)},
		{3, append(run("run", "-d", "--restart=on-failure:2", "-v", "/anonymous"), img, "sh", "-c", "echo x > /anonymous/f; exit 3")},
		{2, append(append(run("run", "-d", "--rm", "-v", "/anonymous", "-v", vol+":/data:ro"), img), long...)},
		{2, append(append(run("run", "-d", "--health-cmd", "test -e /ok", "--health-interval=100ms", "--health-retries=1", "--health-on-failure="+
			[]string{"none", "kill", "restart", "stop"}[r.IntN(4)]), img), long...)},
		{2, []string{"exec", ctr, "touch", "/ok"}},
		{1, []string{"healthcheck", "run", ctr}},
		{4, []string{"init", ctr}},
		{3, []string{"update", "--restart", []string{"no", "always", "on-failure:3"}[r.IntN(3)], ctr}},
		{2, []string{"rm", "-f", "-v", ctr}},
		{1, []string{"container", "prune", "-f"}},
		{1, []string{"container", "clone", ctr, fmt.Sprintf("c%d", r.IntN(chaosContainers))}},
		{2, []string{"cp", c.archives[n], ctr + ":/tmp"}},
		{2, []string{"cp", ctr + ":/own", "-"}},
		{1, []string{"diff", ctr}},
		{1, []string{"export", ctr}},
		{1, []string{"commit", ctr, img}},
		{1, []string{"top", ctr}},
		{1, []string{"events", "--stream=false"}},
		{1, []string{"volume", "create", vol}},
		{2, []string{"volume", "rm", vol}},
		{1, []string{"volume", "rm", "-f", vol}},
		{1, []string{"volume", "prune", "-af"}},
		{1, []string{"volume", "ls"}},
	}
	if c.d != nil {
		choices = append(choices, choice{4, []string{"pause", ctr}}, choice{4, []string{"unpause", ctr}})
	}
	total := 0
	for _, ch := range choices {
		total += ch.weight
	}
	at := r.IntN(total)
	for _, ch := range choices {
		if at -= ch.weight; at < 0 {
			return ch.args
		}
	}
	return nil
}
