package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/journal"
	"github.com/multiput/multiput/pkg/progress"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// dryPlan is the documented form of what an upload would do.
type dryPlan struct {
	Schema      int             `json:"schema"`
	DryRun      bool            `json:"dry_run"`
	File        string          `json:"file"`
	ID          string          `json:"id"`
	Provider    string          `json:"provider"`
	Base        string          `json:"base"`
	Name        string          `json:"name"`
	Type        string          `json:"type"`
	Options     json.RawMessage `json:"options"`
	Size        int64           `json:"size"`
	Upload      *string         `json:"upload"`
	Next        upload.Step     `json:"next"`
	Compare     bool            `json:"compare"`
	MovedFrom   []string        `json:"moved_from"`
	Parts       *int            `json:"parts"`
	PartSize    *int64          `json:"part_size"`
	PartsStored int             `json:"parts_stored"`
	BytesStored int64           `json:"bytes_stored"`
	Requests    []dryRequest    `json:"requests"`
	Ends        *time.Time      `json:"ends"`
	URLSeconds  *float64        `json:"url_seconds"`
	ReadsAhead  bool            `json:"reads_ahead"`
	Warnings    []string        `json:"warnings"`
}

// dryRequest is a kind of request that would be made.
type dryRequest struct {
	Step   string `json:"step"`
	Method string `json:"method"`
	Path   string `json:"path"` // empty: another URL
	to     string // what other URL, in words; empty: a presigned one
	Times  *int   `json:"times"` // at best; null: not known
}

// dryRun says what upload would do with each file.
func (a *app) dryRun(ctx context.Context, cfg config.Config, out *output, u *upload.Uploader, m *provider.Definition, files iter.Seq[input], o uploadOptions) error {
	code := 0
	for in := range files {
		file, v, err := in.path, upload.Preview{}, in.err
		if err == nil {
			v, err = u.Preview(ctx, upload.File{Path: file, Name: cmp.Or(o.name, in.name), Type: cfg.ContentType})
		}
		if err == nil {
			made := m.Requests
			if r, is := u.Provider.(provider.Requester); is {
				made = r.Requests(v.File.Size, len(v.Parts))
			}
			err = a.printPlan(ctx, out, newDryPlan(file, v, m, made), v)
		}
		if typed[*outputError](err) {
			return readEnough(err) // no other file would be told of
		}
		if err != nil {
			code = worse(code, a.tell(failure{err: err, file: file, report: upload.Report{File: v.File}}))
		}
	}
	a.note(cfg, "Nothing was sent.")
	if code != 0 {
		return &severalError{code}
	}
	return nil
}

func (a *app) printPlan(ctx context.Context, out *output, d dryPlan, v upload.Preview) error {
	if a.json {
		return out.value(ctx, d)
	}
	return columns(a.stdout, planRows(d, v, a.visible))
}

func newDryPlan(file string, v upload.Preview, m *provider.Definition, made []provider.Request) dryPlan {
	d := dryPlan{
		Schema: 1, DryRun: true, File: file, ID: journal.ID(v.Target, v.File.Path), Provider: v.Target.Provider,
		Base: transport.Redact(v.Target.Base), Name: v.File.Name, Type: v.File.Type, Options: v.Target.Options, Size: v.File.Size,
		Next: v.Next, Compare: v.Compare, MovedFrom: append([]string{}, v.Moved...), PartsStored: len(v.Parts) - len(v.Left), BytesStored: v.Stored,
		Requests: dryRequests(v, made), Warnings: make([]string, len(v.Warnings)),
	}
	for i, w := range v.Warnings {
		d.Warnings[i] = progress.Hint(warningHint).Text(w)
	}
	d.ReadsAhead = m.Limits.ReadsAhead && (v.Next == upload.StepCreate || len(v.Left) > 0)
	if v.Target.Base == "" {
		d.Base = ""
	}
	if len(d.Options) == 0 {
		d.Options = json.RawMessage("{}")
	}
	if v.Record != nil {
		d.Upload = &v.Record.Upload.ID
	}
	if v.Parts != nil {
		d.Parts = new(len(v.Parts))
	}
	if len(v.Parts) > 0 {
		d.PartSize = &v.Parts[0].Size
	}
	for _, end := range []time.Time{v.Expires, v.Begin} {
		if !end.IsZero() && (d.Ends == nil || end.Before(*d.Ends)) {
			d.Ends = &end
		}
	}
	if v.URLLife > 0 {
		d.URLSeconds = new(v.URLLife.Seconds())
	}
	return d
}

// dryRequests counts the requests of an upload without failures.
func dryRequests(v upload.Preview, requests []provider.Request) []dryRequest {
	made := []dryRequest{}
	sends := v.Parts == nil || len(v.Left) > 0
	for _, r := range requests {
		times, known := 0, true
		switch r.Step {
		case "create":
			if v.Next == upload.StepCreate {
				times = 1
			}
		case "part", "confirm":
			times, known = len(v.Left), v.Parts != nil
		case "presign", "checkpoint": // as many as it takes
			known = !sends
		case "complete":
			if v.Next != upload.StepDeliver && v.Next != upload.StepWait {
				times, known = 1, v.Next != upload.StepComplete
			}
		case "ready": // as many as it takes
			known = v.Next == upload.StepDeliver
		case "probe":
			known = v.Next != upload.StepComplete
		case "abort":
			if v.Next == upload.StepCreate && v.Record != nil && v.Record.State != upload.Done && v.Record.State != upload.Waiting {
				times = 1
			}
		default:
			continue
		}
		switch {
		case !known:
			made = append(made, dryRequest{r.Step, r.Method, r.Path, r.To, nil})
		case times > 0:
			made = append(made, dryRequest{r.Step, r.Method, r.Path, r.To, &times})
		}
	}
	// The existing upload is aborted first.
	slices.SortStableFunc(made, func(a, b dryRequest) int {
		switch {
		case a.Step == "abort" && b.Step != "abort":
			return -1
		case b.Step == "abort" && a.Step != "abort":
			return 1
		}
		return 0
	})
	return made
}

// planRows are what a dry run tells people.
func planRows(d dryPlan, v upload.Preview, visible func(string) string) [][2]string {
	to := visible(d.Provider)
	if d.Base != "" {
		to += " at " + visible(d.Base)
	}
	if set := optionsText(d.Options); set != "" {
		to += ", with " + visible(set)
	}
	all := [][2]string{
		{"file", visible(v.File.Path)},
		{"to", to},
		{"as", fmt.Sprintf("%s, %s, %s", visible(d.Name), visible(d.Type), exactText(d.Size))},
		{"id", short(d.ID)},
	}
	all = append(all, [2]string{"journal", journalText(d, v)}, [2]string{"next", dryNext(d, v)})
	if d.Parts == nil {
		all = append(all, [2]string{"plan", "the provider makes it"})
	} else {
		all = append(all, [2]string{"plan", partsText(v.Parts)})
	}
	if d.ReadsAhead {
		all = append(all, [2]string{"reads", "the file an additional time before it is sent: the provider requires digests"})
	}
	for i, r := range d.Requests {
		head, path, times := "", cmp.Or(r.Path, r.to, "a presigned URL"), "as often as needed"
		if i == 0 {
			head = "requests"
		}
		if r.Times != nil {
			times = count(*r.Times, "time")
		} else if r.Step == "part" {
			times = "once for each part"
		}
		all = append(all, [2]string{head, fmt.Sprintf("%s %s, %s", r.Method, path, times)})
	}
	switch {
	case d.Ends != nil:
		all = append(all, [2]string{"ends", d.Ends.Local().Format(withZone) + " (in " + rough(time.Until(*d.Ends)) + ")"})
	case d.URLSeconds != nil:
		all = append(all, [2]string{"ends", fmt.Sprintf("presigned URLs, %s after they are issued", v.URLLife)})
	case d.Next == upload.StepCreate:
		all = append(all, [2]string{"ends", "known when the upload is created"})
	}
	for _, w := range d.Warnings {
		all = append(all, [2]string{"warning", transport.Clean(w)})
	}
	return all
}

func journalText(d dryPlan, v upload.Preview) string {
	if v.Record == nil && len(d.MovedFrom) > 0 {
		return fmt.Sprintf("%s of this name and size, from %s: resumed if its stored parts are in this file",
			count(len(d.MovedFrom), "upload"), transport.Visible(strings.Join(d.MovedFrom, ", ")))
	}
	if v.Record == nil {
		return "no unfinished upload"
	}
	r := v.Record
	return fmt.Sprintf("upload %s: %d of %s stored", transport.Visible(r.Upload.ID), len(r.Receipts), are(len(r.Upload.Parts), "part"))
}

func dryNext(d dryPlan, v upload.Preview) string {
	switch {
	case d.Next == upload.StepCreate && v.Record == nil:
		return "a new upload begins"
	case d.Next == upload.StepCreate:
		return "the old upload is aborted and a new one begins"
	}
	return nextText(d.Next, d.Compare, len(v.Left), *v.Record)
}
