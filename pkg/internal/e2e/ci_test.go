package e2e

import (
	"errors"
	"maps"
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

// recipe is what of a job's description runs on the runner.
type recipe struct {
	shell   []string // that its commands are given to
	steps   []string
	carried string // what the next run finds again
	file    string // that is uploaded
	api     string
}

// recipes reads docs/ci.md.
func recipes(t *testing.T) map[string]recipe {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "ci.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)\n## ([A-Za-z ]+)\n.*?\n```(?:yaml|groovy)\n(.*?)```").FindAllSubmatch(page, -1)
	found := make(map[string]recipe)
	for _, b := range blocks {
		name, text := string(b[1]), b[2]
		switch name {
		case "GitHub Actions":
			found[name] = githubRecipe(t, text)
		case "GitLab CI":
			found[name] = gitlabRecipe(t, text)
		case "Jenkins":
			r := recipe{shell: []string{"sh", "-xe"}, file: "dataset.tar", api: "archetype"}
			for _, s := range regexp.MustCompile(`(?s)\bsh (?:\'\'\'(.*?)\'\'\'|'(.*?)')`).FindAllSubmatch(text, -1) {
				r.steps = append(r.steps, string(s[1])+string(s[2]))
			}
			if s := regexp.MustCompile(`\bfinally \{\s*stash name: 'multiput', includes: '(.*?)/\*\*'`).FindSubmatch(text); s != nil {
				r.carried = string(s[1])
			}
			found[name] = r
		}
	}
	return found
}

func githubRecipe(t *testing.T, text []byte) recipe {
	t.Helper()
	type step struct {
		Uses, Run, If string
		With          map[string]string
		Env           map[string]string
	}
	var job struct {
		Jobs map[string]struct{ Steps []step }
	}
	if err := yaml.Unmarshal(text, &job); err != nil {
		t.Fatal(err)
	}
	r := recipe{shell: []string{"bash", "-e"}, file: "training.jsonl", api: "openai"}
	var restore, save step
	for _, s := range job.Jobs["upload"].Steps {
		switch {
		case s.Run != "":
			r.steps = append(r.steps, s.Run)
		case strings.HasPrefix(s.Uses, "actions/cache/restore@"):
			restore = s
		case strings.HasPrefix(s.Uses, "actions/cache/save@"):
			save = s
		}
	}
	if save.If != "always()" {
		t.Error("a job that failed does not save its journal")
	}
	if restore.With["path"] == save.With["path"] && restore.With["restore-keys"] != "" && strings.HasPrefix(save.With["key"], restore.With["restore-keys"]) {
		r.carried = save.With["path"]
	}
	return r
}

func gitlabRecipe(t *testing.T, text []byte) recipe {
	t.Helper()
	var jobs map[string]struct {
		Script []string
		Cache  struct {
			Paths []string
			When  string
		}
		Retry struct {
			Codes int `yaml:"exit_codes"`
		}
	}
	if err := yaml.Unmarshal(text, &jobs); err != nil {
		t.Fatal(err)
	}
	job := jobs["upload"]
	if job.Cache.When != "always" || job.Retry.Codes != exitAgain || len(job.Cache.Paths) != 1 {
		t.Errorf("a job that failed is not retried with its journal: %+v", job)
	}
	return recipe{
		shell: []string{"bash", "-e"}, steps: job.Script, file: "dataset.tar", api: "archetype",
		carried: strings.TrimSuffix(strings.Join(job.Cache.Paths, " "), "/"),
	}
}

// The recipes of docs/ci.md do what the page says: a first run fails half-way,
// and a second one, in another directory with nothing but what the recipe
// carries over, sends what is missing.
func TestCIRecipes(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the recipes are for a shell")
	}
	all := recipes(t)
	if got := slices.Sorted(maps.Keys(all)); !slices.Equal(got, []string{"GitHub Actions", "GitLab CI", "Jenkins"}) {
		t.Fatalf("the page has recipes for %v", got)
	}
	for name, c := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.carried == "" {
				t.Fatal("nothing is carried over")
			}
			r := newRig(t, c.api, 64<<10)
			original := r.file(t, 10*64<<10)
			files := t.TempDir() // of the service
			env := []string{
				"MULTIPUT_CONCURRENCY=1", "ORIGINAL=" + original,
				"GITHUB_OUTPUT=" + filepath.Join(files, "output"), "GITHUB_STEP_SUMMARY=" + filepath.Join(files, "summary"),
			}
			if c.api == "openai" { // it lets us choose
				env = append(env, "MULTIPUT_PART_SIZE=64KiB")
			}
			if name == "GitHub Actions" {
				env = append(env, "GITHUB_ACTIONS=true")
			}

			if err := r.server.Faults.Add("put@part=4:status=503"); err != nil {
				t.Fatal(err)
			}
			first := checkout(t, c.file)
			told, code := c.run(t, first, append(env, "MULTIPUT_RETRIES=0"), r.env)
			if code != exitAgain || !strings.Contains(told, "run the same command again") {
				t.Fatalf("the first run ends with %d:\n%s", code, told)
			}
			if n := r.puts(); n != 3 {
				t.Fatalf("the first run stored %d parts", n)
			}

			second := checkout(t, c.file)
			if err := os.Rename(filepath.Join(first, c.carried), filepath.Join(second, c.carried)); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(first); err != nil {
				t.Fatal(err)
			}
			told, code = c.run(t, second, env, r.env)
			if code != 0 || !strings.Contains(told, "10 parts, 3 of them stored before") {
				t.Errorf("the second run ends with %d:\n%s", code, told)
			}
			if strings.ContainsAny(told, "\r\x1b") {
				t.Errorf("it draws: %q", told)
			}
			if n := r.puts(); n != 10 {
				t.Errorf("both runs stored %d parts, and there are 10", n)
			}
			r.cmpObject(t, original)
			c.check(t, second, files, told)
		})
	}
}

// Each recipe begins with installing multiput, and does not if what was downloaded
// is not what was released.
func TestCIRecipesInstall(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the recipes are for Linux")
	}
	program, err := exec.LookPath("multiput")
	if err != nil {
		t.Fatal(err)
	}
	path := slices.DeleteFunc(filepath.SplitList(os.Getenv("PATH")), func(dir string) bool { return dir == filepath.Dir(program) })
	bin := t.TempDir()
	curl := `#!/bin/sh
for arg; do
	case $arg in
	https://github.com/multiput/multiput/releases/download/v1.0.0/*) cp "$RELEASE/${arg##*/}" . || exit ;;
	http*) exit 6 ;;
	esac
done
`
	if err := os.WriteFile(filepath.Join(bin, "curl"), []byte(curl), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, c := range recipes(t) {
		t.Run(name, func(t *testing.T) {
			for _, damaged := range []bool{false, true} {
				home, served := t.TempDir(), t.TempDir()
				for name, content := range newRelease(t, "1.0.0").files {
					if damaged && name != "checksums.txt" {
						content[700] ^= 1
					}
					if err := os.WriteFile(filepath.Join(served, name), content, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				env := []string{
					"HOME=" + home, "RELEASE=" + served, "RUNNER_TEMP=" + t.TempDir(), "GITHUB_PATH=" + filepath.Join(home, "path"),
					"PATH=" + bin + string(os.PathListSeparator) + strings.Join(path, string(os.PathListSeparator)),
				}
				first := recipe{shell: c.shell, steps: c.steps[:1]}
				told, code := first.run(t, t.TempDir(), env)
				installed := exec.CommandContext(t.Context(), filepath.Join(home, ".local", "bin", "multiput"), "version")
				if damaged {
					if code == 0 || installed.Run() == nil {
						t.Errorf("another archive is installed:\n%s", told)
					}
				} else if out, err := installed.CombinedOutput(); code != 0 || err != nil {
					t.Errorf("exit code %d, %v:\n%s\n%s", code, err, told, out)
				}
			}
		})
	}
}

// check looks at what is left for the steps that follow.
func (c recipe) check(t *testing.T, dir, files, told string) {
	t.Helper()
	want := map[string]string{filepath.Join(dir, "file_uid"): `^file_\S+\n$`}
	if c.api == "openai" {
		want = map[string]string{
			filepath.Join(files, "output"):  `^id=file-\S+\n$`,
			filepath.Join(files, "summary"): `\| training.jsonl \| .*exit code 75(?s:.*)\| training.jsonl \| 655 kB \| 10 \(3 stored before\) \| .* \| unverified \| file-\S+ \|\n$`,
		}
	}
	for path, pattern := range want {
		b, err := os.ReadFile(path)
		if err != nil || !regexp.MustCompile(pattern).Match(b) {
			t.Errorf("%s: %v: %q\n%s", path, err, b, told)
		}
	}
}

// checkout is a working directory of a runner.
func checkout(t *testing.T, file string) string {
	t.Helper()
	dir := t.TempDir()
	script := "#!/bin/sh\ncp \"$ORIGINAL\" " + file + "\n"
	if err := os.WriteFile(filepath.Join(dir, "build.sh"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// run runs the steps until one fails, and gives what they print and the exit
// code of the last.
func (c recipe) run(t *testing.T, dir string, env ...[]string) (told string, code int) {
	t.Helper()
	for _, step := range c.steps {
		cmd := exec.CommandContext(t.Context(), c.shell[0], append(slices.Clone(c.shell[1:]), "-c", step)...)
		cmd.Dir, cmd.Env = dir, slices.Concat(env...)
		out, err := cmd.CombinedOutput()
		told += string(out)
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if code = cmd.ProcessState.ExitCode(); code != 0 {
			break
		}
	}
	return told, code
}
