// SPDX-License-Identifier: Apache-2.0
// Makes src/control/admission/testdata/pod_security.jsonl: pods, and what upstream's package finds in them. One JSON
// document a line: {"standard": "restricted:v1.22", "pod", "reasons", "details"}, the last two empty for what is allowed.
//
//	pod-security SEED COUNT   random pods, each at one level and release
//	pod-security DIR          upstream's own fixtures: DIR/LEVEL/VERSION/*/*.yaml
package main

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
)

type vector struct {
	Standard string      `json:"standard"`
	Pod      *corev1.Pod `json:"pod"`
	Reasons  string      `json:"reasons"`
	Details  string      `json:"details"`
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	must(err)
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	say := func(standard api.LevelVersion, pod *corev1.Pod) {
		found := policy.AggregateCheckResults(evaluator.EvaluatePod(standard, &pod.ObjectMeta, &pod.Spec))
		must(out.Encode(vector{standard.String(), pod, found.ForbiddenReason(), found.ForbiddenDetail()}))
	}
	if len(os.Args) == 2 {
		fixtures(os.Args[1], say)
		return
	}
	seed, err := strconv.ParseInt(os.Args[1], 10, 64)
	must(err)
	count, err := strconv.Atoi(os.Args[2])
	must(err)
	r := &random{rand.New(rand.NewSource(seed))}
	for range count {
		level := []api.Level{api.LevelBaseline, api.LevelRestricted, api.LevelRestricted}[r.Intn(3)]
		version := api.LatestVersion()
		if r.chance(2) {
			version = api.MajorMinorVersion(1, r.Intn(42))
		}
		say(api.LevelVersion{Level: level, Version: version}, r.pod())
	}
}

func fixtures(dir string, say func(api.LevelVersion, *corev1.Pod)) {
	files, err := filepath.Glob(filepath.Join(dir, "*", "*", "*", "*.yaml"))
	must(err)
	for _, file := range files {
		bytes, err := os.ReadFile(file)
		must(err)
		pod := &corev1.Pod{}
		must(yaml.Unmarshal(bytes, pod))
		parts := strings.Split(file, string(filepath.Separator))
		level, err := api.ParseLevel(parts[len(parts)-4])
		must(err)
		version, err := api.ParseVersion(parts[len(parts)-3])
		must(err)
		say(api.LevelVersion{Level: level, Version: version}, pod)
	}
}

type random struct{ *rand.Rand }

// True in one of n cases.
func (r *random) chance(n int) bool { return r.Intn(n) == 0 }

func (r *random) one(words ...string) string { return words[r.Intn(len(words))] }

// Nothing, false or true.
func (r *random) flag() *bool {
	if r.chance(2) {
		return nil
	}
	value := r.chance(2)
	return &value
}

func (r *random) id() *int64 {
	if r.chance(2) {
		return nil
	}
	value := int64(r.Intn(2) * 1000)
	return &value
}

func (r *random) seccomp() *corev1.SeccompProfile {
	if r.chance(2) {
		return nil
	}
	return &corev1.SeccompProfile{Type: corev1.SeccompProfileType(r.one("RuntimeDefault", "RuntimeDefault", "Localhost", "Unconfined"))}
}

func (r *random) appArmor() *corev1.AppArmorProfile {
	if !r.chance(6) {
		return nil
	}
	return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileType(r.one("RuntimeDefault", "Localhost", "Unconfined"))}
}

func (r *random) seLinux() *corev1.SELinuxOptions {
	if !r.chance(6) {
		return nil
	}
	return &corev1.SELinuxOptions{
		Type: r.one("", "container_t", "container_engine_t", "spc_t", "unconfined_t"), User: r.one("", "", "system_u"), Role: r.one("", "", "system_r"),
	}
}

func (r *random) windows() *corev1.WindowsSecurityContextOptions {
	if !r.chance(8) {
		return nil
	}
	return &corev1.WindowsSecurityContextOptions{HostProcess: r.flag()}
}

func (r *random) handler() corev1.ProbeHandler {
	host := r.one("", "10.0.0.1", "node.example")
	if r.chance(2) {
		return corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Host: host, Port: intstr.FromInt32(80)}}
	}
	return corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Host: host, Port: intstr.FromInt32(80)}}
}

func (r *random) probe() *corev1.Probe {
	if !r.chance(8) {
		return nil
	}
	return &corev1.Probe{ProbeHandler: r.handler()}
}

func (r *random) hook() *corev1.LifecycleHandler {
	if !r.chance(3) {
		return nil
	}
	probe := r.handler()
	return &corev1.LifecycleHandler{HTTPGet: probe.HTTPGet, TCPSocket: probe.TCPSocket}
}

func (r *random) container(name string) corev1.Container {
	c := corev1.Container{Name: name, Image: "i"}
	if r.chance(6) {
		return c
	}
	security := &corev1.SecurityContext{
		RunAsNonRoot: r.flag(), RunAsUser: r.id(), SeccompProfile: r.seccomp(), AppArmorProfile: r.appArmor(),
		SELinuxOptions: r.seLinux(), WindowsOptions: r.windows(), AllowPrivilegeEscalation: r.flag(),
	}
	if r.chance(5) {
		security.Privileged = r.flag()
	}
	if r.chance(6) {
		mount := corev1.ProcMountType(r.one("Default", "Unmasked"))
		security.ProcMount = &mount
	}
	if !r.chance(3) {
		security.Capabilities = &corev1.Capabilities{}
		for _, name := range []corev1.Capability{"NET_BIND_SERVICE", "CHOWN", "NET_RAW", "SYS_ADMIN", "chown", "ALL"} {
			if r.chance(8) {
				security.Capabilities.Add = append(security.Capabilities.Add, name)
			}
		}
		if !r.chance(3) {
			security.Capabilities.Drop = []corev1.Capability{corev1.Capability(r.one("ALL", "ALL", "all", "NET_RAW"))}
		}
	}
	c.SecurityContext = security
	for i := range r.Intn(3) {
		if r.chance(3) {
			c.Ports = append(c.Ports, corev1.ContainerPort{ContainerPort: 80, HostPort: int32(i * 8080)})
		}
	}
	c.LivenessProbe, c.ReadinessProbe, c.StartupProbe = r.probe(), r.probe(), r.probe()
	if r.chance(8) {
		c.Lifecycle = &corev1.Lifecycle{PostStart: r.hook(), PreStop: r.hook()}
	}
	return c
}

func (r *random) volume(name string) corev1.Volume {
	sources := []corev1.VolumeSource{
		{ConfigMap: &corev1.ConfigMapVolumeSource{}}, {EmptyDir: &corev1.EmptyDirVolumeSource{}},
		{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}, {NFS: &corev1.NFSVolumeSource{Server: "s", Path: "/"}},
		{GitRepo: &corev1.GitRepoVolumeSource{Repository: "r"}}, {Image: &corev1.ImageVolumeSource{Reference: "i"}},
		{RBD: &corev1.RBDVolumeSource{}}, {ScaleIO: &corev1.ScaleIOVolumeSource{}}, {Secret: &corev1.SecretVolumeSource{SecretName: "s"}},
		{StorageOS: &corev1.StorageOSVolumeSource{}}, {CSI: &corev1.CSIVolumeSource{Driver: "d"}}, {FlexVolume: &corev1.FlexVolumeSource{Driver: "d"}},
		{},
	}
	return corev1.Volume{Name: name, VolumeSource: sources[r.Intn(len(sources))]}
}

func (r *random) pod() *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}}
	if r.chance(4) {
		pod.Annotations = map[string]string{
			"container.apparmor.security.beta.kubernetes.io/a": r.one("", "runtime/default", "localhost/x", "unconfined"),
			"container.apparmor.security.beta.kubernetes.io/b": r.one("runtime/default", "unconfined"),
			"container.seccomp.security.alpha.kubernetes.io/a": r.one("runtime/default", "docker/default", "unconfined", ""),
			"seccomp.security.alpha.kubernetes.io/pod":         r.one("localhost/x", "unconfined"),
		}
	}
	spec := &pod.Spec
	spec.Containers = append(spec.Containers, r.container("a"))
	if r.chance(2) {
		spec.Containers = append(spec.Containers, r.container("b"))
	}
	if r.chance(3) {
		spec.InitContainers = append(spec.InitContainers, r.container("init"))
	}
	if r.chance(4) {
		spec.EphemeralContainers = append(spec.EphemeralContainers,
			corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon(r.container("debug"))})
	}
	for i := range r.Intn(4) {
		if r.chance(2) {
			spec.Volumes = append(spec.Volumes, r.volume(fmt.Sprint("v", i)))
		}
	}
	spec.HostNetwork, spec.HostPID, spec.HostIPC = r.chance(8), r.chance(12), r.chance(12)
	if r.chance(5) {
		spec.HostUsers = r.flag()
	}
	if r.chance(6) {
		spec.OS = &corev1.PodOS{Name: corev1.OSName(r.one("linux", "windows"))}
	}
	if !r.chance(4) {
		spec.SecurityContext = &corev1.PodSecurityContext{
			RunAsNonRoot: r.flag(), RunAsUser: r.id(), SeccompProfile: r.seccomp(), AppArmorProfile: r.appArmor(),
			SELinuxOptions: r.seLinux(), WindowsOptions: r.windows(),
		}
		for range r.Intn(3) {
			if r.chance(3) {
				spec.SecurityContext.Sysctls = append(spec.SecurityContext.Sysctls, corev1.Sysctl{
					Name: r.one("kernel.shm_rmid_forced", "net.ipv4.tcp_rmem", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_fin_timeout",
						"net.ipv4.tcp_notsent_lowat", "kernel.msgmax"), Value: "1"})
			}
		}
	}
	return pod
}
