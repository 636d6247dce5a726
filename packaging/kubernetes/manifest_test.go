// Package kubernetes holds the example manifests to the schemas of what reads them. It
// is a module of its own: these schemas are no module of the daemon's.
package kubernetes

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hclparse"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

const manifest = "netcombiner.yaml"

// objects are those of a manifest.
type objects struct {
	configs  []core.ConfigMap
	services []core.Service
	sets     []apps.StatefulSet
}

// decode takes a manifest as a cluster that validates strictly does: no unknown,
// doubled or mistyped field.
func decode(text []byte) (all objects, err error) {
	for _, part := range bytes.SplitAfter(text, []byte("\n---\n")) {
		part = bytes.TrimSuffix(part, []byte("---\n"))
		var kind struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal(part, &kind); err != nil {
			return all, err
		}
		switch kind.APIVersion + " " + kind.Kind {
		case "v1 ConfigMap":
			all.configs, err = add(all.configs, part)
		case "v1 Service":
			all.services, err = add(all.services, part)
		case "apps/v1 StatefulSet":
			all.sets, err = add(all.sets, part)
		default:
			err = fmt.Errorf("no schema for %s %s", kind.APIVersion, kind.Kind)
		}
		if err != nil {
			return all, fmt.Errorf("%s: %w", kind.Kind, err)
		}
	}
	return all, nil
}

// add decodes one object more.
func add[T any](all []T, text []byte) ([]T, error) {
	var one T
	plain, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return all, err
	}
	strict, err := json.UnmarshalStrict(plain, &one)
	return append(all, one), errors.Join(append(strict, err)...)
}

func load(t *testing.T) (objects, []byte) {
	t.Helper()
	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	all, err := decode(text)
	if err != nil {
		t.Fatal(err)
	}
	if len(all.configs) != 1 || len(all.services) != 1 || len(all.sets) != 1 {
		t.Fatalf("%d ConfigMaps, %d Services, %d StatefulSets", len(all.configs), len(all.services), len(all.sets))
	}
	return all, text
}

func TestSchema(t *testing.T) {
	_, text := load(t)
	for what, edit := range map[string][2]string{
		"an unknown field":   {"readOnlyRootFilesystem", "readOnlyRootFileSystem"},
		"a wrong type":       {"replicas: 1", "replicas: one"},
		"no quantity":        {"memory: 32Mi", "memory: 32Mega"},
		"an unknown kind":    {"kind: Service", "kind: Servant"},
		"a field twice":      {"serviceName: nc57", "serviceName: nc57\n  serviceName: nc57"},
		"a field of another": {"terminationGracePeriodSeconds", "sessionAffinity"},
		"a time with a unit": {"periodSeconds: 2\n", "periodSeconds: 2s\n"},
	} {
		bad := bytes.Replace(text, []byte(edit[0]), []byte(edit[1]), 1)
		if _, err := decode(bad); err == nil || bytes.Equal(bad, text) {
			t.Errorf("%s passes", what)
		}
	}
}

// What a schema does not say, and a cluster or the daemon would: names meet each
// other, and the pod may do what it must and nothing else.
func TestParts(t *testing.T) {
	all, _ := load(t)
	set, service, config := all.sets[0], all.services[0], all.configs[0]
	pod := set.Spec.Template
	if len(pod.Spec.Containers) != 1 {
		t.Fatal("more than one container")
	}
	c := pod.Spec.Containers[0]
	for key, value := range service.Spec.Selector {
		if pod.Labels[key] != value || set.Spec.Selector.MatchLabels[key] != value {
			t.Errorf("the Service or the StatefulSet selects %s = %s, which the pod has not", key, value)
		}
	}
	if set.Spec.ServiceName != service.Name || *set.Spec.Replicas != 1 {
		t.Errorf("%d replicas of service %s", *set.Spec.Replicas, set.Spec.ServiceName)
	}
	port := service.Spec.Ports[0]
	if p := c.Ports[0]; port.TargetPort.StrVal != p.Name || port.Protocol != p.Protocol || port.Port != p.ContainerPort {
		t.Errorf("the Service's %v is not the container's %v", port, p)
	}
	if text := config.Data["nc57.conf"]; !strings.Contains(text, fmt.Sprintf(":%d\n", port.Port)) {
		t.Errorf("nobody listens on %d:\n%s", port.Port, text)
	}
	volumes := map[string]bool{}
	for _, v := range pod.Spec.Volumes {
		volumes[v.Name] = true
	}
	for _, claim := range set.Spec.VolumeClaimTemplates {
		volumes[claim.Name] = true
	}
	for _, m := range c.VolumeMounts {
		if !volumes[m.Name] {
			t.Errorf("no volume %s", m.Name)
		}
	}
	may := c.SecurityContext
	if !slices.Equal(may.Capabilities.Drop, []core.Capability{"ALL"}) || !slices.Equal(may.Capabilities.Add, []core.Capability{"NET_ADMIN"}) ||
		*may.AllowPrivilegeEscalation || !*may.ReadOnlyRootFilesystem || may.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault {
		t.Errorf("the container may more than it must: %v", may)
	}
	if got := c.Resources.Limits.Memory().Value(); got != 32<<20 {
		t.Errorf("memory limit %d", got)
	}
	if *pod.Spec.AutomountServiceAccountToken {
		t.Error("the pod holds a token of the cluster's")
	}
	for _, p := range []*core.Probe{c.StartupProbe, c.LivenessProbe} {
		if p == nil || strings.Join(p.Exec.Command, " ") != "netcombiner show nc57 --json" {
			t.Errorf("probe %v", p)
		}
	}
}

// The daemon takes the configurations, with a key where the Secret puts it.
func TestConfigurations(t *testing.T) {
	daemon := filepath.Join(t.TempDir(), "netcombiner")
	build := exec.Command("go", "build", "-o", daemon, "./src/cmd/netcombiner")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	key, err := exec.Command(daemon, "genkey").Output()
	if err != nil {
		t.Fatal(err)
	}
	all, _ := load(t)
	job, err := os.ReadFile("../nomad/netcombiner.nomad.hcl")
	if err != nil {
		t.Fatal(err)
	}
	_, template, _ := strings.Cut(string(job), "<<-EOT\n")
	template, _, _ = strings.Cut(template, "EOT\n")
	_, rest, _ := strings.Cut(template, "{{ with")
	_, rest, ok := strings.Cut(rest, "{{ end }}")
	if !ok {
		t.Fatalf("no template in the job: %s", template)
	}
	before, _, _ := strings.Cut(template, "{{ with")
	for name, text := range map[string]string{
		"kubernetes": all.configs[0].Data["nc57.conf"],
		"nomad":      before + strings.TrimSpace(string(key)) + rest,
	} {
		dir := t.TempDir()
		text = strings.ReplaceAll(text, "/etc/netcombiner/key/nc57.key", "nc57.key")
		if err := os.WriteFile(filepath.Join(dir, "nc57.key"), key, 0o400); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "nc57.conf")
		if err := os.WriteFile(file, []byte(text), 0o400); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(daemon, "check", file).CombinedOutput()
		if want := file + ": ok\n"; err != nil || string(out) != want {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}

// The job's language is right; what its words mean only Nomad knows.
func TestNomadJob(t *testing.T) {
	if _, wrong := hclparse.NewParser().ParseHCLFile("../nomad/netcombiner.nomad.hcl"); wrong.HasErrors() {
		t.Error(wrong)
	}
}
