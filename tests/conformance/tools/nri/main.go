// SPDX-License-Identifier: Apache-2.0

// A plugin of the Node Resource Interface that does as the files of a folder say, over the stub of the interface's own
// module, which has the protocol in it. For each call METHOD there may be
//
//	METHOD.json    {"sleep_ms": 0, "die": false, "error": "", "only": "", "adjust": {}, "update": []}
//
// with what is answered, in protobuf's JSON; "only" is the name of the container that it is for. Calls are appended to
// `log`, a line of JSON each. After SIGUSR1 it asks for what UpdateContainers.json says, and logs what failed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/stub"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

type script struct {
	SleepMS int               `json:"sleep_ms"`
	Die     bool              `json:"die"`
	Error   string            `json:"error"`
	Only    string            `json:"only"`
	Adjust  json.RawMessage   `json:"adjust"`
	Update  []json.RawMessage `json:"update"`
}

type plugin struct {
	folder string
	stub   stub.Stub
	lock   sync.Mutex
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "nri-plugin:", err)
	os.Exit(1)
}

func text(message proto.Message) json.RawMessage {
	bytes, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(message)
	if err != nil {
		fail(err)
	}
	return bytes
}

func (p *plugin) log(method string, fields map[string]any) {
	p.lock.Lock()
	defer p.lock.Unlock()
	fields["method"] = method
	line, err := json.Marshal(fields)
	if err != nil {
		fail(err)
	}
	file, err := os.OpenFile(filepath.Join(p.folder, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		fail(err)
	}
	defer file.Close()
	if _, err := file.Write(append(line, '\n')); err != nil {
		fail(err)
	}
}

// Logs the call and does what its file says.
func (p *plugin) play(method string, pod *api.PodSandbox, container *api.Container, more map[string]any) (
	*api.ContainerAdjustment, []*api.ContainerUpdate, error) {
	fields := map[string]any{}
	if pod != nil {
		fields["pod"] = text(pod)
	}
	if container != nil {
		fields["container"] = text(container)
	}
	for key, value := range more {
		fields[key] = value
	}
	p.log(method, fields)
	bytes, err := os.ReadFile(filepath.Join(p.folder, method+".json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, nil
	}
	var todo script
	if err == nil {
		err = json.Unmarshal(bytes, &todo)
	}
	if err != nil {
		fail(err)
	}
	if todo.Only != "" && (container == nil || container.Name != todo.Only) {
		return nil, nil, nil
	}
	time.Sleep(time.Duration(todo.SleepMS) * time.Millisecond)
	if todo.Die {
		os.Exit(3)
	}
	if todo.Error != "" {
		return nil, nil, errors.New(todo.Error)
	}
	var adjust *api.ContainerAdjustment
	if todo.Adjust != nil {
		adjust = &api.ContainerAdjustment{}
		if err := protojson.Unmarshal(todo.Adjust, adjust); err != nil {
			fail(err)
		}
	}
	var updates []*api.ContainerUpdate
	for _, each := range todo.Update {
		update := &api.ContainerUpdate{}
		if err := protojson.Unmarshal(each, update); err != nil {
			fail(err)
		}
		updates = append(updates, update)
	}
	return adjust, updates, nil
}

func (p *plugin) tell(method string, pod *api.PodSandbox, container *api.Container) error {
	_, _, err := p.play(method, pod, container, nil)
	return err
}

func (p *plugin) Configure(_ context.Context, config, runtime, version string) (api.EventMask, error) {
	_, _, err := p.play("Configure", nil, nil, map[string]any{"config": config, "runtime": runtime, "version": version})
	return 0, err
}

func (p *plugin) Synchronize(_ context.Context, pods []*api.PodSandbox, containers []*api.Container) (
	[]*api.ContainerUpdate, error) {
	names := func(count int, name func(int) string) []string {
		all := []string{}
		for i := 0; i < count; i++ {
			all = append(all, name(i))
		}
		return all
	}
	_, updates, err := p.play("Synchronize", nil, nil, map[string]any{
		"pods":       names(len(pods), func(i int) string { return pods[i].Name }),
		"containers": names(len(containers), func(i int) string { return containers[i].Name }),
	})
	return updates, err
}

func (p *plugin) Shutdown(_ context.Context) {
	p.log("Shutdown", map[string]any{})
}

func (p *plugin) RunPodSandbox(_ context.Context, pod *api.PodSandbox) error {
	return p.tell("RunPodSandbox", pod, nil)
}

func (p *plugin) StopPodSandbox(_ context.Context, pod *api.PodSandbox) error {
	return p.tell("StopPodSandbox", pod, nil)
}

func (p *plugin) RemovePodSandbox(_ context.Context, pod *api.PodSandbox) error {
	return p.tell("RemovePodSandbox", pod, nil)
}

func (p *plugin) UpdatePodSandbox(_ context.Context, pod *api.PodSandbox, overhead, resources *api.LinuxResources) error {
	_, _, err := p.play("UpdatePodSandbox", pod, nil, map[string]any{"overhead": text(overhead), "resources": text(resources)})
	return err
}

func (p *plugin) PostUpdatePodSandbox(_ context.Context, pod *api.PodSandbox) error {
	return p.tell("PostUpdatePodSandbox", pod, nil)
}

func (p *plugin) CreateContainer(_ context.Context, pod *api.PodSandbox, container *api.Container) (
	*api.ContainerAdjustment, []*api.ContainerUpdate, error) {
	return p.play("CreateContainer", pod, container, nil)
}

func (p *plugin) PostCreateContainer(_ context.Context, pod *api.PodSandbox, container *api.Container) error {
	return p.tell("PostCreateContainer", pod, container)
}

func (p *plugin) StartContainer(_ context.Context, pod *api.PodSandbox, container *api.Container) error {
	return p.tell("StartContainer", pod, container)
}

func (p *plugin) PostStartContainer(_ context.Context, pod *api.PodSandbox, container *api.Container) error {
	return p.tell("PostStartContainer", pod, container)
}

func (p *plugin) UpdateContainer(_ context.Context, pod *api.PodSandbox, container *api.Container,
	resources *api.LinuxResources) ([]*api.ContainerUpdate, error) {
	_, updates, err := p.play("UpdateContainer", pod, container, map[string]any{"resources": text(resources)})
	return updates, err
}

func (p *plugin) PostUpdateContainer(_ context.Context, pod *api.PodSandbox, container *api.Container) error {
	return p.tell("PostUpdateContainer", pod, container)
}

func (p *plugin) StopContainer(_ context.Context, pod *api.PodSandbox, container *api.Container) (
	[]*api.ContainerUpdate, error) {
	_, updates, err := p.play("StopContainer", pod, container, nil)
	return updates, err
}

func (p *plugin) RemoveContainer(_ context.Context, pod *api.PodSandbox, container *api.Container) error {
	return p.tell("RemoveContainer", pod, container)
}

func (p *plugin) update() {
	_, updates, err := p.play("UpdateContainers", nil, nil, nil)
	if err != nil {
		fail(err)
	}
	failed, err := p.stub.UpdateContainers(updates)
	fields := map[string]any{"error": fmt.Sprint(err), "failed": []string{}}
	for _, each := range failed {
		fields["failed"] = append(fields["failed"].([]string), each.ContainerId)
	}
	p.log("UpdatedContainers", fields)
}

func main() {
	// One that the runtime starts gets no arguments.
	name := os.Getenv("NRI_PLUGIN_NAME")
	folder := filepath.Join(filepath.Dir(os.Args[0]), "..", "state-"+name)
	index, socket := "", ""
	if name == "" {
		flag.StringVar(&name, "name", "test", "the plugin's name")
		flag.StringVar(&index, "idx", "", "its index")
		flag.StringVar(&socket, "socket", api.DefaultSocketPath, "where the runtime listens")
	}
	flag.StringVar(&folder, "folder", folder, "what it does, and the log of what it was asked")
	flag.Parse()
	p := &plugin{folder: folder}
	options := append([]stub.Option{stub.WithOnClose(func() {
		p.log("Closed", map[string]any{})
		os.Exit(0)
	})}, failurePolicy(folder)...)
	if index != "" {
		options = append(options, stub.WithPluginName(name), stub.WithPluginIdx(index), stub.WithSocketPath(socket))
	}
	var err error
	if p.stub, err = stub.New(wrapped(p), options...); err != nil {
		fail(err)
	}
	asked := make(chan os.Signal, 8)
	signal.Notify(asked, syscall.SIGUSR1)
	go func() {
		for range asked {
			p.update()
		}
	}()
	if err := p.stub.Run(context.Background()); err != nil {
		fail(err)
	}
}
