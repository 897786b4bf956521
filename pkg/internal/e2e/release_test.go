package e2e

import (
	"bytes"
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

// readYAML reads a file of the repository.
func readYAML(t *testing.T, into any, path ...string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{"..", "..", ".."}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(b, into); err != nil {
		t.Fatalf("%v: %v", path, err)
	}
}

type releaseConfig struct {
	Builds   []struct{ Goarch []string }
	Checksum struct {
		Name string `yaml:"name_template"`
	}
	NFPMs []struct {
		Formats  []string
		Contents []struct{ Src, Dst, Packager string }
	}
	Casks   []struct{ Manpages []string } `yaml:"homebrew_casks"`
	Scoops  []struct{ Homepage string }
	SBOMs   []struct{ Artifacts string }
	Dockers []struct {
		Dockerfile string
		Platforms  []string
		ExtraFiles []string `yaml:"extra_files"`
	} `yaml:"dockers_v2"`
}

// A release has what docs/install.md says, and its workflow attests to it.
func TestRelease(t *testing.T) {
	var c releaseConfig
	readYAML(t, &c, ".goreleaser.yaml")
	if len(c.NFPMs) != 1 || len(c.Casks) != 1 || len(c.Scoops) != 1 || len(c.SBOMs) == 0 || len(c.Dockers) != 1 || len(c.Casks[0].Manpages) == 0 {
		t.Fatalf("something is missing: %+v", c)
	}
	formats := slices.Sorted(slices.Values(c.NFPMs[0].Formats))
	if want := []string{"apk", "archlinux", "deb", "rpm"}; !slices.Equal(formats, want) {
		t.Errorf("the packages are %v, want %v", formats, want)
	}
	for _, format := range formats {
		var goes []string
		for _, f := range c.NFPMs[0].Contents {
			if f.Packager == "" || f.Packager == format {
				goes = append(goes, f.Src)
			}
		}
		for _, want := range []string{"LICENSE", ".ci/cache/extras/man/*.1", ".ci/cache/extras/man/*.7", "/multiput.bash", "/_multiput", "/multiput.fish"} {
			if !slices.ContainsFunc(goes, func(src string) bool { return strings.HasSuffix(src, want) }) {
				t.Errorf("the %s package has no %s", format, want)
			}
		}
	}

	var workflow struct {
		Jobs map[string]struct {
			Permissions map[string]string
			Steps       []actionStep
		}
	}
	readYAML(t, &workflow, ".github", "workflows", "release.yml")
	job := workflow.Jobs["release"]
	for _, p := range []string{"contents", "packages", "id-token", "attestations"} {
		if job.Permissions[p] != "write" {
			t.Errorf("the workflow may not write %s", p)
		}
	}
	released, attested := false, map[string]bool{}
	for _, s := range job.Steps {
		released = released || strings.HasPrefix(s.Run, "goreleaser release")
		if strings.HasPrefix(s.Uses, "actions/attest-build-provenance@") && released {
			attested[s.With["subject-checksums"]] = true
		}
	}
	if !attested["dist/"+c.Checksum.Name] || !attested["dist/digests.txt"] {
		t.Errorf("the workflow attests to %v", attested)
	}
}

// The container image is distroless and pinned, and for the platforms that are
// built. goreleaser puts each platform's binary below its name, and the extra
// files beside it.
func TestContainerImage(t *testing.T) {
	var c releaseConfig
	readYAML(t, &c, ".goreleaser.yaml")
	image := c.Dockers[0]
	if want := []string{"linux/amd64", "linux/arm64"}; !slices.Equal(image.Platforms, want) {
		t.Errorf("the platforms are %v, want %v", image.Platforms, want)
	}
	for _, p := range image.Platforms {
		if !slices.Contains(c.Builds[0].Goarch, strings.TrimPrefix(p, "linux/")) {
			t.Errorf("no binary is built for %s", p)
		}
	}
	b, err := os.ReadFile(filepath.Join("..", "..", "..", filepath.FromSlash(image.Dockerfile)))
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]string{}
	args, from, entry := map[string]bool{}, "", ""
	for line := range strings.Lines(string(b)) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		switch words[0] {
		case "FROM":
			from = words[1]
		case "ARG":
			args[words[1]] = true
		case "COPY":
			if len(words) != 3 {
				t.Fatalf("what is %q?", line)
			}
			written[words[2]] = words[1]
		case "ENTRYPOINT":
			if m := regexp.MustCompile(`^\["(.*)"\]$`).FindStringSubmatch(words[1]); m != nil {
				entry = m[1]
			}
		case "WORKDIR", "ENV":
		default:
			t.Errorf("there is no shell to do %q", line)
		}
	}
	if !regexp.MustCompile(`^gcr\.io/distroless/static-[a-z0-9]+:nonroot@sha256:[0-9a-f]{64}$`).MatchString(from) {
		t.Errorf("the image is from %q", from)
	}
	if written[entry] != "$TARGETPLATFORM/multiput" || !args["TARGETPLATFORM"] {
		t.Errorf("%q runs, and %v is written", entry, written)
	}
	for to, source := range written {
		if to != entry && !slices.Contains(image.ExtraFiles, source) {
			t.Errorf("%s is not in the context", source)
		}
	}
}

// The three lines of README.md interrupt an upload and resume it.
func TestReadmeResumes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the lines are for a shell")
	}
	if testing.Short() {
		t.Skip("it uploads for seconds")
	}
	t.Parallel()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)run these three lines.*?```sh\n(.*?)```").FindSubmatch(b)
	if m == nil || bytes.Count(m[1], []byte("\n")) != 3 {
		t.Fatalf("the README has no three lines: %q", m)
	}
	program, err := exec.LookPath("multiput")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", string(m[1]))
	cmd.Dir = dir
	cmd.Env = []string{"HOME=" + dir, "PATH=" + filepath.Dir(program) + string(os.PathListSeparator) + os.Getenv("PATH")}
	var results, out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &results, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, want := range []string{`interrupted: [1-9][0-9]* of [0-9]+ parts are stored`, `parts, [1-9][0-9]* of them stored before`} {
		if !regexp.MustCompile(want).Match(out.Bytes()) {
			t.Errorf("it does not say %q:\n%s", want, &out)
		}
	}
	object := strings.TrimSuffix(results.String(), "\n")
	sent, err := os.ReadFile(filepath.Join(dir, "big.bin"))
	if err != nil {
		t.Fatal(err)
	}
	if stored, err := os.ReadFile(object); err != nil || !bytes.Equal(stored, sent) {
		t.Errorf("%q is not the file (%v)\n%s", object, err, &out)
	}
}
