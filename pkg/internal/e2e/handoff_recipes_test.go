package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// handoffRecipe is the code under a heading of docs/many-machines.md.
func handoffRecipe(t *testing.T, heading string) (blocks []string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "many-machines.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(b), "\n## "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, m := range regexp.MustCompile("(?ms)^```(?:sh|yaml)\n(.*?)^```$").FindAllStringSubmatch(section, -1) {
		blocks = append(blocks, m[1])
	}
	if !ok || len(blocks) == 0 {
		t.Fatalf("docs/many-machines.md has no recipe under %q", heading)
	}
	return blocks
}

// newRecipe is where a recipe is tried: a directory with big.bin, and the key.
func newRecipe(t *testing.T) *rig {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the recipes are for a shell")
	}
	r := newRig(t, "archetype", 64<<10)
	r.env = append(r.env, "MULTIPUT_PROVIDER=archetype")
	if err := os.Rename(r.file(t, killSize), filepath.Join(r.dir, "big.bin")); err != nil {
		t.Fatal(err)
	}
	return r
}

// sh runs a script and gives its stdout.
func (r *rig) sh(t *testing.T, dir, script string, env ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-eu", "-c", script)
	cmd.Dir, cmd.Env = dir, slices.Concat(r.env, env)
	var messages bytes.Buffer
	cmd.Stderr = &messages
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, script, &messages)
	}
	return string(out)
}

func (r *rig) served(t *testing.T, out string) {
	t.Helper()
	if len(strings.Fields(out)) != 1 {
		t.Errorf("stdout is %q, want one result", out)
	}
	r.cmpObject(t, filepath.Join(r.dir, "big.bin"))
}

func TestRecipeParallel(t *testing.T) {
	t.Parallel()
	for i, tool := range []string{"parallel", "xargs"} {
		t.Run(tool, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(tool); err != nil {
				t.Skipf("NOT TESTED: the recipe of %s, as it is not installed", tool)
			}
			r := newRecipe(t)
			r.served(t, r.sh(t, r.dir, handoffRecipe(t, "GNU parallel")[i]))
		})
	}
}

// The sender has no key, no journal of ours, and a copy of the file with another
// time.
func TestRecipeHandOver(t *testing.T) {
	t.Parallel()
	r := newRecipe(t)
	steps := handoffRecipe(t, "Hand over to a sender without an account")
	if len(steps) != 3 {
		t.Fatalf("the recipe has %d steps, want 3", len(steps))
	}
	sender := t.TempDir()
	r.sh(t, r.dir, steps[0])
	r.sh(t, r.dir, `cp big.plan big.bin "$TO" && touch -d 2001-01-01 "$TO/big.bin"`, "TO="+sender)
	r.sh(t, sender, steps[1], "ATAI_API_KEY=", "MULTIPUT_ARCHETYPE_BASE_URL=", "MULTIPUT_PROVIDER=", "HOME="+sender, "XDG_STATE_HOME="+sender)
	r.sh(t, sender, `cp big.receipts "$BACK"`, "BACK="+r.dir)
	r.served(t, r.sh(t, r.dir, steps[2]))
}

// TestRecipeKubernetes checks the Job, and runs what its pods would run.
func TestRecipeKubernetes(t *testing.T) {
	t.Parallel()
	r := newRecipe(t)
	text := handoffRecipe(t, "Kubernetes")[0]
	var job struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string `yaml:"kind"`
		Metadata   struct {
			Name string `yaml:"name"`
		} `yaml:"metadata"`
		Spec struct {
			CompletionMode       string `yaml:"completionMode"`
			Completions          int    `yaml:"completions"`
			Parallelism          int    `yaml:"parallelism"`
			BackoffLimitPerIndex int    `yaml:"backoffLimitPerIndex"`
			Template             struct {
				Spec struct {
					RestartPolicy string `yaml:"restartPolicy"`
					Containers    []struct {
						Name         string              `yaml:"name"`
						Image        string              `yaml:"image"`
						WorkingDir   string              `yaml:"workingDir"`
						Env          []map[string]string `yaml:"env"`
						Command      []string            `yaml:"command"`
						Args         []string            `yaml:"args"`
						VolumeMounts []map[string]string `yaml:"volumeMounts"`
					} `yaml:"containers"`
					Volumes []struct {
						Name  string            `yaml:"name"`
						Claim map[string]string `yaml:"persistentVolumeClaim"`
					} `yaml:"volumes"`
				} `yaml:"spec"`
			} `yaml:"template"`
		} `yaml:"spec"`
	}
	d := yaml.NewDecoder(strings.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&job); err != nil {
		t.Fatal(err)
	}
	pod := job.Spec.Template.Spec
	// backoffLimitPerIndex takes restartPolicy Never, and Indexed.
	if job.APIVersion != "batch/v1" || job.Kind != "Job" || job.Spec.CompletionMode != "Indexed" || pod.RestartPolicy != "Never" || len(pod.Containers) != 1 {
		t.Fatalf("the Job is %+v", job)
	}
	c := pod.Containers[0]
	if len(pod.Volumes) != 1 || len(c.VolumeMounts) != 1 || c.VolumeMounts[0]["name"] != pod.Volumes[0].Name || c.VolumeMounts[0]["mountPath"] != c.WorkingDir {
		t.Errorf("the volume is not where the pods work: %+v", pod)
	}
	r.sh(t, r.dir, "multiput plan big.bin -o big.plan")
	for i := range job.Spec.Completions {
		cmd := exec.CommandContext(t.Context(), c.Command[0], append(c.Command[1:], c.Args...)...)
		cmd.Dir = r.dir
		cmd.Env = append(slices.Clone(r.env), "ATAI_API_KEY=", "JOB_COMPLETION_INDEX="+strconv.Itoa(i))
		for _, v := range c.Env {
			cmd.Env = append(cmd.Env, v["name"]+"="+strings.ReplaceAll(v["value"], c.WorkingDir, r.dir))
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("index %d: %v\n%s", i, err, out)
		}
	}
	r.served(t, r.sh(t, r.dir, "multiput complete big.plan *.receipts"))
}

// TestRecipeSlurmScripts runs the job script as Slurm would run its tasks, with
// programs in the place of Slurm's; one task is killed, and run again.
func TestRecipeSlurmScripts(t *testing.T) {
	t.Parallel()
	r := newRecipe(t)
	blocks := handoffRecipe(t, "Slurm")
	if len(blocks) != 2 || !strings.HasPrefix(blocks[0], "#!/bin/sh\n#SBATCH --array=1-4\n") {
		t.Fatalf("the recipe is %q", blocks)
	}
	bin := filepath.Join(r.dir, "bin")
	sbatch := `#!/bin/sh -e
case $1 in
--parsable)
	for i in 1 2 3 4; do
		if [ $i = 3 ]; then SCRIPT_KILL_AT=receipt=1+ SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=3 sh "$2" && exit 1; fi
		SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=$i sh "$2"
	done
	echo 7 ;;
--dependency=afterok:7) sh -c "$3" ;;
*) exit 1 ;;
esac
`
	for name, text := range map[string]string{"bin/sbatch": sbatch, "bin/scontrol": "#!/bin/sh\nexit 1\n", "put.sh": blocks[0]} {
		path := filepath.Join(r.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	r.served(t, r.sh(t, r.dir, blocks[1], "PATH="+bin+":"+os.Getenv("PATH")))
}
