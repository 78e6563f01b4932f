package main

import (
	"debug/elf"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/knadh/koanf/parsers/yaml"
)

var docker = flag.Bool("docker", false, "run the build line of docker/Dockerfile")

// dockerfile is docker/Dockerfile, an instruction an element: FROM, RUN and so on with what stands behind it.
type dockerfile [][2]string

func readDockerfile(t *testing.T) dockerfile {
	t.Helper()
	var d dockerfile
	for line := range strings.Lines(repositoryFile(t, "docker/Dockerfile")) {
		if word, rest, ok := strings.Cut(strings.TrimSpace(line), " "); ok && word != "#" {
			d = append(d, [2]string{word, rest})
		}
	}
	return d
}

// last is what stands behind the last instruction of that name.
func (d dockerfile) last(t *testing.T, instruction string) string {
	t.Helper()
	for _, one := range slices.Backward(d) {
		if one[0] == instruction {
			return one[1]
		}
	}
	t.Fatalf("docker/Dockerfile has no %s", instruction)
	return ""
}

// words of an instruction that is written as a JSON array, flags of the instruction left out.
func (d dockerfile) words(t *testing.T, instruction string) []string {
	t.Helper()
	text := d.last(t, instruction)
	var words []string
	if err := json.Unmarshal([]byte(text[strings.Index(text, "["):]), &words); err != nil {
		t.Fatalf("%s %s: %v", instruction, text, err)
	}
	return words
}

// environment of the container.
func (d dockerfile) environment(t *testing.T) []string {
	t.Helper()
	return strings.Fields(d.last(t, "ENV"))
}

// TestDockerBuildLine: the line by which the image's binary is built makes one that needs nothing else in its image.
func TestDockerBuildLine(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the image is for Linux: elsewhere the line makes a binary of another kind")
	}
	line := ""
	for _, one := range readDockerfile(t) {
		if one[0] == "RUN" && strings.Contains(one[1], "go build") {
			line = one[1]
		}
	}
	path := filepath.Join(t.TempDir(), "trestle")
	if !strings.Contains(line, " -o /out/trestle ") {
		t.Fatalf("got build line %q, want one that writes /out/trestle", line)
	}
	if !*docker {
		t.Skip("compiles everything once more, with other flags: make docker-check")
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", strings.Replace(line, "/out/trestle", path, 1))
	cmd.Dir, cmd.Env = "../..", append(os.Environ(), "VERSION=v1.2.3-docker")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	binary, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = binary.Close() }()
	for _, segment := range binary.Progs {
		if segment.Type == elf.PT_INTERP || segment.Type == elf.PT_DYNAMIC {
			t.Errorf("the binary has a segment %v: it is not static, and the image has no libraries", segment.Type)
		}
	}
	out, err := exec.CommandContext(t.Context(), path, "version").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "v1.2.3-docker") {
		t.Errorf("got %v and %q, want the version that was built in", err, out)
	}
}

// TestDockerStartCommand: the settings of the image are settings of the program, and mean what the image needs.
func TestDockerStartCommand(t *testing.T) {
	t.Parallel()
	d := readDockerfile(t)
	start := append(d.words(t, "ENTRYPOINT"), d.words(t, "CMD")...)
	if start[0] != "/trestle" || start[1] != "server" {
		t.Fatalf("got %q, want /trestle server", start)
	}
	got := call(t, d.environment(t), append([]string{"config", "print"}, start[2:]...)...)
	if got.code != exitDone {
		t.Fatalf("got %+v for the settings of the image", got)
	}
	if valid := call(t, d.environment(t), append([]string{"config", "validate"}, start[2:]...)...); valid.code != exitDone {
		t.Errorf("got %+v for the settings of the image", valid)
	}
	for _, want := range []string{"0.0.0.0:9292", "0.0.0.0:9293", "0.0.0.0:4222", "/data"} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("got\n%s\nwant %s in it", got.stdout, want)
		}
		if port := regexp.MustCompile(`:\d+$`).FindString(want); port != "" && !slices.Contains(strings.Fields(d.last(t, "EXPOSE")), port[1:]) {
			t.Errorf("port %s is not exposed", port)
		}
	}
	if user := d.last(t, "USER"); user != "65532:65532" {
		t.Errorf("got user %s, want one that is not root, by number: the image has no list of users", user)
	}
	s := launch(t, t.TempDir())
	health := d.words(t, "HEALTHCHECK")
	if health[0] != "/trestle" {
		t.Fatalf("got health check %q, want the only program that there is", health)
	}
	s.run(nil, exitDone, health[1:]...)
	s.kill()
	s.run(nil, exitFailed, health[1:]...)
}

// TestDockerReadme: what the page has the program do in a container, it does with the settings of the image.
func TestDockerReadme(t *testing.T) {
	t.Parallel()
	commands := regexp.MustCompile("docker run --rm trestle ([^`\n]+)`").FindAllStringSubmatch(repositoryFile(t, "docker/README.md"), -1)
	if len(commands) == 0 {
		t.Fatal("there is no docker run with a command: is it written in another way now?")
	}
	for _, command := range commands {
		if got := call(t, readDockerfile(t).environment(t), words(command[1])...); got.code != exitDone {
			t.Errorf("got %+v for %s", got, command[0])
		}
	}
}

// TestDockerFiles: what the program is made of goes to the build, and compose names files that are there.
func TestDockerFiles(t *testing.T) {
	t.Parallel()
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{if .Module.Main}}{{.Dir}}{{end}}{{end}}", "./cmd/trestle")
	list.Dir = "../.."
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	sent := repositoryFile(t, "docker/Dockerfile.dockerignore")
	for _, dir := range strings.Fields(string(out)) {
		relative, err := filepath.Rel(root, dir)
		if err != nil {
			t.Fatal(err)
		}
		top, _, _ := strings.Cut(filepath.ToSlash(relative), "/")
		if !strings.Contains(sent, "\n!"+top+"\n") {
			t.Errorf("%s is needed and not sent: write !%s into docker/Dockerfile.dockerignore", relative, top)
		}
	}

	compose, err := yaml.Parser().Unmarshal([]byte(repositoryFile(t, "docker/compose.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	service := member(member(compose, "services"), "trestle")
	build, settings := member(service, "build"), member(service, "environment")
	if _, err := os.Stat(filepath.Join("../../docker", fmt.Sprint(build["context"]), fmt.Sprint(build["dockerfile"]))); err != nil {
		t.Error(err)
	}
	env := readDockerfile(t).environment(t)
	for name, value := range settings {
		env = append(env, fmt.Sprintf("%s=%v", name, value))
	}
	if got := call(t, env, "config", "print", "--insecure"); got.code != exitDone || !strings.Contains(got.stdout, fmt.Sprint(settings["TRESTLE_ADVERTISE"])) {
		t.Errorf("got %+v for the settings of compose", got)
	}
}

// member of a YAML mapping that is one itself; empty if there is none.
func member(mapping map[string]any, name string) map[string]any {
	found, _ := mapping[name].(map[string]any)
	return found
}
