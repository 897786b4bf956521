package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// action is .github/actions/upload.
type action struct {
	Inputs map[string]struct {
		Description, Default string
		Required             bool
	}
	Outputs map[string]struct{ Description, Value string }
	Runs    struct {
		Using string
		Steps []actionStep
	}
}

type actionStep struct {
	ID, Uses, Run, Shell, If string
	Env, With                map[string]string
}

func readAction(t *testing.T) action {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", ".github", "actions", "upload", "action.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var a action
	d := yaml.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&a); err != nil {
		t.Fatal(err)
	}
	return a
}

// runner plays a job's runner: it runs the action's scripts with the files that
// GitHub gives a step, and keeps the caches that the action saves.
type runner struct {
	action  action
	with    map[string]string // the user's inputs
	env     []string
	dir     string            // the workspace
	temp    string            // RUNNER_TEMP
	attempt string            // GITHUB_RUN_ATTEMPT
	caches  map[string]string // directories by their keys
	outputs map[string]map[string]string
	path    []string
	told    string
}

var expression = regexp.MustCompile(`\$\{\{ *([a-z_.-]+) *\}\}`)

// eval replaces the expressions that the action uses. Any other is a failure.
func (r *runner) eval(t *testing.T, text string) string {
	t.Helper()
	text = expression.ReplaceAllStringFunc(text, func(whole string) string {
		name := expression.FindStringSubmatch(whole)[1]
		words := strings.Split(name, ".")
		switch {
		case name == "github.token":
			return "ghs_token-of-the-job"
		case name == "github.run_attempt":
			return r.attempt
		case words[0] == "inputs" && len(words) == 2:
			in, known := r.action.Inputs[words[1]]
			if !known {
				t.Errorf("the action has no input %q", words[1])
			}
			if v, given := r.with[words[1]]; given {
				return v
			}
			return r.eval(t, in.Default)
		case words[0] == "steps" && len(words) == 4 && words[2] == "outputs":
			v, known := r.outputs[words[1]][words[3]]
			if !known {
				t.Errorf("no step %s sets the output %s", words[1], words[3])
			}
			return v
		}
		t.Errorf("what is %s?", whole)
		return ""
	})
	if strings.Contains(text, "${{") {
		t.Errorf("an expression is not known: %s", text)
	}
	return text
}

// run runs the action and gives its exit code. Like a runner, it goes on after a
// failure with the steps that always run.
func (r *runner) run(t *testing.T) (code int) {
	t.Helper()
	r.outputs = map[string]map[string]string{}
	uploaded := false
	for _, s := range r.action.Runs.Steps {
		switch {
		case code != 0 && !strings.Contains(s.If, "always()"):
			continue
		case strings.Contains(s.If, "steps.upload.outcome != 'skipped'") && !uploaded:
			continue
		}
		uploaded = uploaded || s.ID == "upload"
		switch {
		case strings.HasPrefix(s.Uses, "actions/cache/restore@"):
			r.restore(t, s)
		case strings.HasPrefix(s.Uses, "actions/cache/save@"):
			key := r.eval(t, s.With["key"])
			if r.caches[key] != "" {
				t.Errorf("the cache %s is written twice", key)
			}
			r.caches[key] = t.TempDir()
			if err := os.CopyFS(r.caches[key], os.DirFS(filepath.Join(r.dir, r.eval(t, s.With["path"])))); err != nil {
				t.Error(err)
			}
		case s.Uses != "":
			t.Fatalf("this runner has no %s", s.Uses)
		default:
			if s.Shell != "bash" {
				t.Errorf("the shell of %s is %q", s.ID, s.Shell)
			}
			code = r.script(t, s)
		}
	}
	return code
}

func (r *runner) restore(t *testing.T, s actionStep) {
	t.Helper()
	key, prefix, path := r.eval(t, s.With["key"]), r.eval(t, s.With["restore-keys"]), filepath.Join(r.dir, r.eval(t, s.With["path"]))
	var found string
	for name, dir := range r.caches {
		if name == key || strings.HasPrefix(name, prefix) {
			found = dir
		}
	}
	if found == "" {
		return
	}
	if err := os.CopyFS(path, os.DirFS(found)); err != nil {
		t.Error(err)
	}
}

// script runs one step, and reads what it wrote into the runner's files.
func (r *runner) script(t *testing.T, s actionStep) int {
	t.Helper()
	files := t.TempDir()
	output, path := filepath.Join(files, "output"), filepath.Join(files, "path")
	script := filepath.Join(files, "script.sh")
	if err := errors.Join(os.WriteFile(output, nil, 0o600), os.WriteFile(path, nil, 0o600), os.WriteFile(script, []byte(s.Run), 0o600)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "--noprofile", "--norc", "-eo", "pipefail", script)
	cmd.Dir = r.dir
	cmd.Env = append(slices.Clone(r.env), "GITHUB_OUTPUT="+output, "GITHUB_PATH="+path, "RUNNER_TEMP="+r.temp,
		"GITHUB_RUN_ID=4242", "GITHUB_JOB=upload", "GITHUB_RUN_ATTEMPT="+r.attempt)
	var before string
	for _, v := range cmd.Env {
		if rest, ok := strings.CutPrefix(v, "PATH="); ok {
			before = rest
		}
	}
	cmd.Env = append(cmd.Env, "PATH="+strings.Join(append(slices.Clone(r.path), before), string(os.PathListSeparator)))
	for name, value := range s.Env {
		cmd.Env = append(cmd.Env, name+"="+r.eval(t, value))
	}
	out, err := cmd.CombinedOutput()
	r.told += string(out)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	r.outputs[s.ID] = outputsOf(t, output)
	added, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(added)) {
		r.path = append([]string{strings.TrimSpace(line)}, r.path...)
	}
	return cmd.ProcessState.ExitCode()
}

// outputsOf reads a step's outputs: NAME=VALUE, or NAME<<END, lines, END.
func outputsOf(t *testing.T, path string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n"); len(lines) > 0; lines = lines[1:] {
		if name, end, ok := strings.Cut(lines[0], "<<"); ok {
			n := slices.Index(lines[1:], end)
			if n < 0 {
				t.Fatalf("the output %s does not end", name)
			}
			all[name] = strings.Join(lines[1:n+1], "\n")
			lines = lines[n+1:]
		} else if name, value, ok := strings.Cut(lines[0], "="); ok {
			all[name] = value
		} else if lines[0] != "" {
			t.Errorf("not an output: %q", lines[0])
		}
	}
	return all
}

// release is one that can be downloaded: the program under test.
type release struct {
	version string
	files   map[string][]byte
	url     string
}

func newRelease(t *testing.T, version string) *release {
	t.Helper()
	program, err := exec.LookPath("multiput")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.NoCompression)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	for name, content := range map[string][]byte{"multiput": b, "README.md": []byte("read me")} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("multiput_%s_linux_amd64.tar.gz", version)
	r := &release{version: version, files: map[string][]byte{
		name:            packed.Bytes(),
		"checksums.txt": fmt.Appendf(nil, "%064d  multiput_%s_linux_arm64.tar.gz\n%x  %s\n", 7, version, sha256.Sum256(packed.Bytes()), name),
	}}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.url = server.URL + "/releases"
	return r
}

func (r *release) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	switch path := strings.TrimPrefix(q.URL.Path, "/releases/"); path {
	case "latest":
		http.Redirect(w, q, "/releases/tag/v"+r.version, http.StatusFound)
	case "tag/v" + r.version:
	default:
		content, ok := r.files[strings.TrimPrefix(path, "download/v"+r.version+"/")]
		if !ok {
			http.NotFound(w, q)
			return
		}
		w.Write(content) //nolint:errcheck // the client sees it
	}
}

// newRunner is a job that begins. Its PATH has no multiput, and a gh that notes
// how it is called.
func newRunner(t *testing.T, r *rig, from *release) *runner {
	t.Helper()
	bin := t.TempDir()
	gh := "#!/bin/sh\necho \"gh $*\" && [ -n \"$GH_TOKEN\" ]\n"
	if err := os.WriteFile(filepath.Join(bin, "gh"), []byte(gh), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bash", "cat", "cksum", "curl", "grep", "gzip", "mkdir", "od", "sha256sum", "tar", "tr"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Skipf("%s is not here", name)
		}
		if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	env := slices.DeleteFunc(slices.Clone(r.env), func(v string) bool { return strings.HasPrefix(v, "PATH=") })
	return &runner{
		action: readAction(t), attempt: "1", dir: t.TempDir(), temp: t.TempDir(), caches: map[string]string{},
		with: map[string]string{"releases": from.url},
		env:  append(env, "PATH="+bin, "GITHUB_ACTIONS=true", "RUNNER_OS=Linux", "RUNNER_ARCH=X64", "MULTIPUT_CONCURRENCY=1"),
	}
}

// The action installs a release, uploads, and continues in the next attempt of
// the job, on another runner, with what the first one saved.
func TestAction(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("it plays a Linux runner")
	}
	t.Parallel()
	const part, parts, name = 64 << 10, 7, "two words.tar"
	r := newRig(t, "archetype", part)
	original := r.file(t, parts*part)
	from := newRelease(t, "3.1.4")
	first := newRunner(t, r, from)
	first.with["files"], first.with["provider"] = name+"\n", "archetype"
	first.with["args"] = "--name=stored.tar\n"
	content, err := os.ReadFile(original)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(first.dir, name), content, 0o600))
	must(t, r.server.Faults.Add("put@part=5:status=503"))
	env := first.env
	first.env = append(slices.Clone(env), "MULTIPUT_RETRIES=0")
	if code := first.run(t); code != exitAgain || first.outputs["upload"]["exit-code"] != "75" || first.outputs["upload"]["result"] != "" {
		t.Fatalf("the first attempt ends with %d, %q\n%s", code, first.outputs, first.told)
	}
	if n := r.puts(); n != 4 {
		t.Fatalf("the first attempt stored %d parts", n)
	}
	for _, want := range []string{"gh attestation verify multiput_3.1.4_linux_amd64.tar.gz --repo multiput/multiput", "_linux_amd64.tar.gz: OK", "::error"} {
		if !strings.Contains(first.told, want) {
			t.Errorf("it does not say %q:\n%s", want, first.told)
		}
	}

	must(t, os.RemoveAll(first.dir))
	second := newRunner(t, r, from)
	second.attempt, second.caches, second.with = "2", first.caches, first.with
	second.with["version"] = "v3.1.4"
	must(t, os.WriteFile(filepath.Join(second.dir, name), content, 0o600))
	if code := second.run(t); code != 0 || second.outputs["upload"]["exit-code"] != "0" {
		t.Fatalf("the second attempt ends with %d\n%s", code, second.told)
	}
	if n := r.puts(); n != parts {
		t.Errorf("both attempts stored %d parts, and there are %d\n%s", n, parts, second.told)
	}
	r.cmpObject(t, original)
	for name, want := range map[string]string{"result": `^file_\S+$`, "exit-code": `^0$`, "version": `^dev$`, "key": `^multiput-4242-upload-[0-9]+$`} {
		if got := second.eval(t, second.action.Outputs[name].Value); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("the output %s is %q, want %s", name, got, want)
		}
	}
	if len(second.caches) != 2 {
		t.Errorf("there are %d caches after two attempts", len(second.caches))
	}
}

// Several files and options arrive as they are; the multiput of the runner is
// taken if that is wanted.
func TestActionInputs(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("it plays a Linux runner")
	}
	t.Parallel()
	r := newRig(t, "openai", 64<<10)
	a := newRunner(t, r, &release{url: "http://127.0.0.1:1"})
	program, err := exec.LookPath("multiput")
	must(t, err)
	a.path = []string{filepath.Dir(program)}
	a.with = map[string]string{
		"files": "-a b.jsonl\n\n$HOME.jsonl", "provider": "openai", "set": "purpose=fine-tune\n\nexpires_after=3600\n",
		"args": "--part-size=100k\n", "version": "none", "key": "mine", "journal": "kept here",
	}
	for _, name := range []string{"-a b.jsonl", "$HOME.jsonl"} {
		must(t, os.WriteFile(filepath.Join(a.dir, name), bytes.Repeat([]byte(name), 30_000), 0o600))
	}
	if code := a.run(t); code != 0 {
		t.Fatalf("exit code %d\n%s", code, a.told)
	}
	if got := a.outputs["upload"]["result"]; !regexp.MustCompile(`^file-\S+\nfile-\S+$`).MatchString(got) {
		t.Errorf("the result is %q", got)
	}
	if a.caches["mine-1"] == "" {
		t.Errorf("the caches are %v", a.caches)
	}
	if _, err := os.Stat(filepath.Join(a.dir, "kept here")); err != nil {
		t.Error(err)
	}
}

// What was downloaded is not run if it is not what was released.
func TestActionRefusesAnotherArchive(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("it plays a Linux runner")
	}
	t.Parallel()
	r := newRig(t, "archetype", 64<<10)
	for what, damage := range map[string]func(*release, *runner){
		"checksum":     func(f *release, _ *runner) { f.files["multiput_2.7.1_linux_amd64.tar.gz"][1000] ^= 1 },
		"not listed":   func(f *release, _ *runner) { f.files["checksums.txt"] = []byte("\n") },
		"attestation":  func(_ *release, a *runner) { a.with["token"] = "" },
		"not released": func(_ *release, a *runner) { a.with["version"] = "2.7.2" },
		"no platform":  func(_ *release, a *runner) { a.env = append(a.env, "RUNNER_ARCH=S390X") },
	} {
		t.Run(what, func(t *testing.T) {
			from := newRelease(t, "2.7.1")
			a := newRunner(t, r, from)
			a.with["files"], a.with["provider"] = "f", "archetype"
			damage(from, a)
			if code := a.run(t); code == 0 || a.outputs["upload"] != nil || len(a.path) > 0 || len(a.caches) > 0 {
				t.Errorf("exit code %d, outputs %v\n%s", code, a.outputs, a.told)
			}
		})
	}
	if n := r.puts(); n != 0 {
		t.Errorf("%d parts were stored", n)
	}
}

// The action's README has its inputs and outputs.
func TestActionReadme(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "..", ".github", "actions", "upload", "README.md"))
	must(t, err)
	a := readAction(t)
	for name, in := range a.Inputs {
		if in.Description == "" || !bytes.Contains(b, []byte("| `"+name+"` |")) {
			t.Errorf("the README has no input %s", name)
		}
		if in.Default != "" && !strings.Contains(in.Default, "${{") && name != "releases" && !bytes.Contains(b, []byte("| `"+name+"` | `"+in.Default+"` |")) {
			t.Errorf("the README does not say that %s is %q", name, in.Default)
		}
	}
	for name := range a.Outputs {
		if !bytes.Contains(b, []byte("| `"+name+"` |")) {
			t.Errorf("the README has no output %s", name)
		}
	}
}
