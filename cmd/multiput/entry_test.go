package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/journal"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

var began = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// an upload in the journal, of four parts of 100 MB, two of which are stored.
func an(id, path string, s upload.State) journal.Listed {
	l := journal.Listed{ID: id + strings.Repeat("0", 32-len(id)), Parts: 4, PartSize: 100e6, LastPart: 100e6, PartsStored: 2, BytesStored: 200e6}
	l.Record = upload.Record{
		Target: upload.Target{Provider: "openai", Base: "https://api.openai.com/v1", Name: filepath.Base(path), Options: json.RawMessage(`{"purpose":"batch"}`)},
		Path:   path, State: s, Started: began, Updated: began.Add(time.Hour),
		Upload: upload.Upload{ID: "upload_" + id, File: upload.File{Size: 400e6, Type: "text/plain"}, Renewable: true},
	}
	if s == upload.Done || s == upload.Delivered {
		l.Record.Outcome = &upload.Outcome{Result: upload.Result{Value: "file-1", Reply: json.RawMessage(`{"id":"file-1"}`)}, Verification: "etag"}
		l.PartsStored, l.BytesStored = 4, 400e6
	}
	return l
}

// several are one of each kind.
func several() []journal.Listed {
	sending, running := an("1a2b3c4d5", "/data/a.jsonl", upload.Sending), an("1a2b3c4d6", "/data/b.jsonl", upload.Completing)
	running.Holder = &journal.Holder{PID: 4711, Host: "build-3", Since: began}
	sending.Record.Upload.Expires = began.Add(3 * time.Hour)
	urls := an("77", "/data/c.mov", upload.Sending)
	urls.URLsExpire = began.Add(80 * time.Minute)
	unknown := an("78", "/data/e", upload.Sending)
	unknown.Holder = new(journal.Holder)
	delivered := an("99", "/data/\x1b[31mred\n.bin", upload.Delivered)
	delivered.Holder = running.Holder // it starts over
	delivered.Record.Updated = began.Add(-100 * time.Hour)
	return []journal.Listed{sending, running, urls, an("88", "/data/d.bin", upload.Completing), unknown, an("98", "/data/f", upload.Done), an("97", "/data/g", upload.Corrupt), delivered}
}

func TestTable(t *testing.T) {
	all := several()
	var b bytes.Buffer
	var shown []*journal.Listed
	for i := range all {
		shown = append(shown, &all[i])
	}
	if err := table(&b, shown, all, began.Add(90*time.Minute), transport.Visible); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join("..", "..", "testdata", "list.golden"))
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", &b, want)
	}
}

// An upload that was written while the clock was ahead has no age.
func TestTableOfAClockThatWentBack(t *testing.T) {
	l := an("1a", "/data/a", upload.Sending)
	var b bytes.Buffer
	if err := table(&b, []*journal.Listed{&l}, []journal.Listed{l}, began.Add(-24*time.Hour), transport.Visible); err != nil {
		t.Fatal(err)
	}
	if _, row, _ := strings.Cut(b.String(), "\n"); !strings.Contains(row, "50%  -    -     /data/a") {
		t.Errorf("got\n%s", &b)
	}
}

func TestEntryJSON(t *testing.T) {
	var b bytes.Buffer
	for _, l := range several() {
		line, err := json.Marshal(whole(l, shortID(l.ID, several())))
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	want, err := os.ReadFile(filepath.Join("..", "..", "testdata", "show.golden"))
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", &b, want)
	}
}

// Whatever docs/housekeeping.md says is in an object is in it, and nothing else.
func TestDocumentedFields(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "housekeeping.md"))
	if err != nil {
		t.Fatal(err)
	}
	fields := func(v any) (names []string) {
		t.Helper()
		b, err := json.Marshal(v)
		var m map[string]json.RawMessage
		if err == nil {
			err = json.Unmarshal(b, &m)
		}
		if err != nil {
			t.Fatal(err)
		}
		for name := range m {
			names = append(names, name)
		}
		slices.Sort(names)
		return names
	}
	all := fields(newEntry(several()[0]))
	for heading, v := range map[string]any{
		"## Fields of list": newEntry(several()[0]),
		"## Fields of show": whole(several()[0], ""),
		"## Fields of a dry run": dryPlan{
			Options: json.RawMessage("{}"), Requests: []dryRequest{},
		},
	} {
		_, section, ok := strings.Cut(string(page), heading+"\n")
		if !ok {
			t.Errorf("docs/housekeeping.md has no %q", heading)
			continue
		}
		section, _, _ = strings.Cut(section, "\n## ")
		var documented []string
		for line := range strings.Lines(section) {
			cell, ok := strings.CutPrefix(line, "| `")
			if !ok {
				continue
			}
			cell, _, _ = strings.Cut(cell, " |")
			for name := range strings.SplitSeq(cell, ", ") {
				documented = append(documented, strings.Trim(name, "`"))
			}
		}
		want := fields(v)
		if heading == "## Fields of show" {
			want = slices.DeleteFunc(want, func(name string) bool { return slices.Contains(all, name) })
		}
		slices.Sort(documented)
		if !slices.Equal(documented, want) {
			t.Errorf("%s: documented are %q, and there are %q", heading, documented, want)
		}
	}
}

func TestFind(t *testing.T) {
	all := several()
	for id, want := range map[string]string{
		"1a2b3c4d5": "/data/a.jsonl", "1A2B3C4D6": "/data/b.jsonl", "77": "/data/c.mov", "8": "/data/d.bin",
		"upload_77": "/data/c.mov", all[0].ID: "/data/a.jsonl",
	} {
		l, err := find(all, id)
		if err != nil || l.Record.Path != want {
			t.Errorf("find %q: %s, %v", id, l.Record.Path, err)
		}
	}
	for id, says := range map[string]string{
		"1a":       "\"1a\" is ambiguous:\n  1a2b3c4d6  /data/b.jsonl to openai, running\n  1a2b3c4d5  /data/a.jsonl to openai, sending (interrupted)",
		"1a2b3c4d": "is ambiguous:",
		"":         "unknown upload \"\"",
		"f":        "unknown upload \"f\"; known uploads:\n  99000000  /data/",
		"UPLOAD_7": "unknown upload",
	} {
		_, err := find(all, id)
		var usage *usageError
		if !errors.As(err, &usage) || !strings.HasPrefix(strings.TrimPrefix(err.Error(), "\""+id+"\" "), strings.TrimPrefix(says, "\""+id+"\" ")) {
			t.Errorf("find %q: %v", id, err)
		}
	}
	// A file that was uploaded several times is listed once.
	if _, err := find(append(append([]journal.Listed{}, all...), all...), "f"); err == nil || strings.Count(err.Error(), "\n  99000000  ") != 1 {
		t.Errorf("the same uploads twice: %v", err)
	}
	// A file that was uploaded before has one id with what is unfinished of it now.
	before, last := an("77", "/data/c.mov", upload.Delivered), an("99", "/data/h", upload.Delivered)
	before.Record.Upload.ID = "upload_before"
	again := append([]journal.Listed{before}, append(all, last)...)
	for id, want := range map[string]string{"77": "upload_77", "upload_before": "upload_before", "99": "upload_99"} {
		l, err := find(again, id)
		if err != nil || l.Record.Upload.ID != want || id == "99" && l.Record.Path != "/data/h" {
			t.Errorf("find %q: %s, %v", id, l.Record.Upload.ID, err)
		}
	}
	if _, err := find(nil, "a"); err == nil || !strings.Contains(err.Error(), "the journal is empty") {
		t.Errorf("in an empty journal: %v", err)
	}
	many := slices.Repeat(all, 2)
	for i := range many {
		many[i].ID = string("0123456789abcdef"[i]) + many[i].ID[1:]
	}
	if _, err := find(many, "zz"); err == nil || !strings.HasSuffix(err.Error(), "\n  and 6 more") || strings.Count(err.Error(), "\n") != 11 {
		t.Errorf("of many: %v", err)
	}
	chosen, err := choose(all, []string{"77", "upload_77", "88"})
	if err != nil || len(chosen) != 2 || chosen[1].Record.Path != "/data/d.bin" {
		t.Errorf("chosen %v, %v", chosen, err)
	}
}

// TestJournalOfAnotherMachine: a journal from elsewhere does not lead the key away.
func TestJournalOfAnotherMachine(t *testing.T) {
	dir := t.TempDir()
	file, path := filepath.Join(dir, "a.bin"), filepath.Join(dir, "journal")
	if err := os.WriteFile(file, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := filepath.EvalSymlinks(file)
	if err != nil {
		t.Fatal(err)
	}
	target := upload.Target{Provider: "openai", Base: "https://elsewhere.invalid/v1", Name: "a.bin", Options: json.RawMessage(`{"purpose":"batch"}`)}
	e, err := (&journal.Journal{Dir: path}).Open(t.Context(), target, file)
	if err != nil {
		t.Fatal(err)
	}
	err = e.Begin(t.Context(), upload.Record{State: upload.Sending, Upload: upload.Upload{ID: "u", Renewable: true, File: upload.File{Size: 7}, Parts: []upload.Part{{Number: 1, Size: 7}}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OPENAI_API_KEY", "sk-a-key-of-a-user")
	for _, args := range [][]string{{"resume"}, {"abort", "--older-than", "0s"}} {
		var out, messages bytes.Buffer
		a := app{stdout: &out, stderr: &messages, journal: openJournal, remote: journal.Remote}
		code := a.run(t.Context(), append(args, "--journal", path, "--retries", "0"))
		if code != exitUsage || !strings.Contains(messages.String(), "--base-url https://elsewhere.invalid/v1") || out.Len() > 0 {
			t.Errorf("%v: exit code %d: %s%s", args, code, &out, &messages)
		}
	}
}

func TestRough(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 59 * time.Second: "59s", 90 * time.Second: "1m", -3 * time.Hour: "3h", 47 * time.Hour: "47h", 48 * time.Hour: "2d", 1000 * time.Hour: "41d",
	} {
		if got := rough(d); got != want {
			t.Errorf("%s is %s, want %s", d, got, want)
		}
	}
}

// One that another process brought to its end meanwhile is not begun again.
func TestResumedElsewhere(t *testing.T) {
	dir := t.TempDir()
	file, path := filepath.Join(dir, "a.bin"), filepath.Join(dir, "journal")
	if err := os.WriteFile(file, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := filepath.EvalSymlinks(file)
	if err != nil {
		t.Fatal(err)
	}
	j := &journal.Journal{Dir: path}
	target := upload.Target{Provider: "openai", Base: "http://127.0.0.1:1", Name: "a.bin", Options: json.RawMessage(`{"purpose":"batch"}`)}
	e, err := j.Open(t.Context(), target, file)
	if err != nil {
		t.Fatal(err)
	}
	err = e.Begin(t.Context(), upload.Record{State: upload.Sending, Upload: upload.Upload{ID: "u", Renewable: true, File: upload.File{Size: 7}, Parts: []upload.Part{{Number: 1, Size: 7}}}})
	if err != nil {
		t.Fatal(err)
	}
	listed, err := j.List(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []upload.State{upload.Completing, upload.Done, upload.Delivered} {
		if err := e.Advance(t.Context(), s, &upload.Outcome{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OPENAI_API_KEY", "sk-a-key-of-a-user")
	var out, messages bytes.Buffer
	a := app{stdout: &out, stderr: &messages, journal: openJournal, remote: journal.Remote}
	cfg := config.Config{Journal: path, Quiet: true}
	show, hide := a.watch(cfg, nil)
	defer hide()
	resume := func(chosen ...journal.Listed) int {
		b := &batch{app: &a, cfg: cfg, out: &output{w: &out}, show: show}
		return b.run(t.Context(), b.recorded(chosen, recordedOptions{}))
	}
	if code := resume(listed[0], listed[0]); code != 0 {
		t.Errorf("among others: %d, %s", code, &messages)
	}
	if code := resume(listed[0]); code != exitUsage {
		t.Errorf("alone: %d, %s", code, &messages)
	}
	if f := a.abortOne(t.Context(), cfg, abortOptions{}, &output{w: &out}, listed[0], "x", false); f.err != nil {
		t.Errorf("abort: %v", f.err)
	}
}
