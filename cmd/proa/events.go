package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/proa-containers/proa/libpod"
	"github.com/proa-containers/proa/oci/monitor/event"
	"github.com/urfave/cli/v2"
)

func newEventsCommand(a *app) *cli.Command {
	return &cli.Command{
		Name:        "events",
		Usage:       "show what happens to containers, volumes and images, as it happens",
		Description: "What is kept goes back to the last start of the host, or one to two megabytes of it.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "since", Usage: "begin at `TIME`, as 2026-01-31T12:00:00Z, a Unix time, or 10m ago (default: now)"},
			&cli.StringFlag{Name: "until", Usage: "end at `TIME`, as --since takes it (default: never)"},
			&cli.StringSliceFlag{Name: "filter", Aliases: []string{"f"}, Usage: "`KEY=VALUE` with a key of " + eventKeys},
			&cli.StringFlag{Name: "format", Usage: "json or a Go `TEMPLATE` for each"},
			&cli.BoolFlag{Name: "stream", Value: true, Usage: "wait for what is to come; without it everything that is kept is shown"},
			&cli.BoolFlag{Name: "no-trunc", Value: true, Usage: "do not shorten ids"},
		},
		Action: func(c *cli.Context) error { return runEvents(a, c) },
	}
}

// eventRow has the fields of Docker's events, and of Podman's in templates.
type eventRow struct {
	Status string     `json:"status"`
	ID     string     `json:"id"`
	From   string     `json:"from,omitempty"`
	Type   string     `json:"Type"`
	Action string     `json:"Action"`
	Actor  eventActor `json:"Actor"`
	Scope  string     `json:"scope"`

	Time     int64 `json:"time"`
	TimeNano int64 `json:"timeNano"`

	Name       string            `json:"-"`
	Image      string            `json:"-"`
	Attributes map[string]string `json:"-"`
}

type eventActor struct {
	ID         string
	Attributes map[string]string
}

func newEventRow(e event.Event, whole bool) eventRow {
	if e.Attributes == nil {
		e.Attributes = map[string]string{}
	}
	if !whole {
		if id := strings.TrimPrefix(e.ID, "sha256:"); len(id) == 64 { // and no name
			e.ID = id[:12]
		}
	}
	name := e.Attributes["image"]
	if e.Type == "image" {
		name = e.Attributes["name"]
	}
	return eventRow{
		Status: e.Action, ID: e.ID, From: e.Attributes["image"], Type: e.Type, Action: e.Action, Actor: eventActor{e.ID, e.Attributes}, Scope: "local",
		Time: e.Time / int64(time.Second), TimeNano: e.Time, Name: e.Attributes["name"], Image: name, Attributes: e.Attributes,
	}
}

// text is an event as Docker prints it.
func (r eventRow) text() string {
	attributes := make([]string, 0, len(r.Attributes))
	for _, k := range slices.Sorted(maps.Keys(r.Attributes)) {
		attributes = append(attributes, k+"="+r.Attributes[k])
	}
	at := time.Unix(0, r.TimeNano).Format("2006-01-02T15:04:05.000000000Z07:00")
	line := fmt.Sprintf("%s %s %s %s", at, r.Type, r.Action, r.ID)
	if len(attributes) > 0 {
		line += " (" + strings.Join(attributes, ", ") + ")"
	}
	return line
}

func runEvents(a *app, c *cli.Context) (err error) {
	if c.Args().Present() {
		return fmt.Errorf("events takes no arguments, but has %q", c.Args().First())
	}
	o := libpod.EventOptions{Follow: c.Bool("stream")}
	if o.Since, err = parseTime(c.String("since")); err != nil {
		return fmt.Errorf("invalid --since %w", err)
	}
	if o.Until, err = parseTime(c.String("until")); err != nil {
		return fmt.Errorf("invalid --until %w", err)
	}
	if !o.Until.IsZero() && o.Until.Before(time.Now()) {
		o.Follow = false
	}
	fits, err := parseEventFilters(c.StringSlice("filter"))
	if err != nil {
		return err
	}
	show, err := eventPrinter(a, c.String("format"))
	if err != nil {
		return err
	}
	e, err := a.engine(c.Context)
	if err != nil {
		return err
	}
	err = e.Events(c.Context, o, func(ev event.Event) error {
		if !fits(ev) {
			return nil
		}
		return show(newEventRow(ev, c.Bool("no-trunc")))
	})
	if errors.Is(err, c.Context.Err()) {
		return nil // by ^C: that is how it ends
	}
	return err
}

func eventPrinter(a *app, format string) (func(eventRow) error, error) {
	switch format {
	case "":
		return func(r eventRow) error {
			_, err := fmt.Fprintln(a.out, r.text())
			return err
		}, nil
	case "json":
		return func(r eventRow) error {
			b, err := json.Marshal(r)
			if err == nil {
				_, err = a.out.Write(append(b, '\n'))
			}
			return err
		}, nil
	}
	t, err := parseTemplate(format)
	if err != nil {
		return nil, err
	}
	return func(r eventRow) error { return t.print(a.out, r) }, nil
}

const eventKeys = "container, event, image, label, network, scope, type or volume"

// parseEventFilters reads KEY=VALUE filters: as in Docker several values of one key are alternatives, but for labels, and
// all keys have to hold together.
func parseEventFilters(filters []string) (func(event.Event) bool, error) {
	alternatives := map[string][]func(event.Event) bool{}
	for i, f := range filters {
		key, value, ok := strings.Cut(f, "=")
		if !ok || value == "" {
			return nil, fmt.Errorf("invalid --filter %q: want KEY=VALUE, with a key of %s", f, eventKeys)
		}
		k, err := eventFilter(key, value)
		if err != nil {
			return nil, fmt.Errorf("invalid --filter %q: %w", f, err)
		}
		if key == "label" {
			key = fmt.Sprint(key, i)
		}
		alternatives[key] = append(alternatives[key], k)
	}
	return func(e event.Event) bool {
		for _, any := range alternatives {
			if !slices.ContainsFunc(any, func(k func(event.Event) bool) bool { return k(e) }) {
				return false
			}
		}
		return true
	}, nil
}

// namesImage tells whether value, which may leave out the registry of Docker's images or of those made here, and the tag,
// names the image.
func namesImage(value, name string) bool {
	for _, registry := range []string{"", "docker.io/library/", "docker.io/", "localhost/"} {
		if rest, ok := strings.CutPrefix(name, registry+value); ok && (rest == "" || rest[0] == ':' || rest[0] == '@') {
			return true
		}
	}
	return false
}

func eventFilter(key, value string) (func(event.Event) bool, error) {
	switch key {
	case "container":
		return func(e event.Event) bool {
			return e.Type == "container" && (e.Attributes["name"] == strings.TrimPrefix(value, "/") || strings.HasPrefix(e.ID, value))
		}, nil
	case "event":
		return func(e event.Event) bool { // without the command or state behind a colon, as in Docker
			word, _, _ := strings.Cut(e.Action, ":")
			return e.Action == value || word == value
		}, nil
	case "image":
		return func(e event.Event) bool {
			if e.Type == "image" {
				id := strings.TrimPrefix(e.ID, "sha256:")
				return namesImage(value, e.Attributes["name"]) || id != e.ID && strings.HasPrefix(id, strings.TrimPrefix(value, "sha256:"))
			}
			return namesImage(value, e.Attributes["image"])
		}, nil
	case "label":
		k, v, exact := strings.Cut(value, "=")
		return func(e event.Event) bool {
			got, ok := e.Attributes[k]
			return ok && (!exact || got == v)
		}, nil
	case "scope":
		if value != "local" {
			return nil, errors.New("proa has local events alone")
		}
		return func(event.Event) bool { return true }, nil
	case "network":
		return func(e event.Event) bool {
			return e.Type == "network" && (e.ID == value || e.Attributes["name"] == value)
		}, nil
	case "volume":
		return func(e event.Event) bool { return e.Type == "volume" && e.ID == value }, nil
	case "type":
		return func(e event.Event) bool { return e.Type == value }, nil
	}
	return nil, errors.New("the key is " + eventKeys)
}
