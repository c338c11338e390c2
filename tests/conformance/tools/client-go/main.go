// SPDX-License-Identifier: Apache-2.0

// What a Go program of a cluster does, over client-go: informers, a controller with its queue, leader election by Lease,
// metadata alone; or, with -join, how kubelet asks for its certificate. Prints "ok - WHAT" or "not ok - WHAT: WHY" for each thing that it tries.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509/pkix"
	"flag"
	"fmt"
	"os"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/certificate/csr"
	"k8s.io/client-go/util/retry"
	"k8s.io/client-go/util/workqueue"
)

const (
	patience = 30 * time.Second
	many     = 700 // more than one page of 500
)

var failed atomic.Bool

func check(what string, err error) bool {
	if err != nil {
		failed.Store(true)
		fmt.Printf("not ok - %s: %v\n", what, err)
		return false
	}
	fmt.Printf("ok - %s\n", what)
	return true
}

// eventually waits until holds says nil.
func eventually(holds func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := holds()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func configMap(name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"set": "all"}}, Data: data}
}

// The controller of fifty lines: for each config map with the label copy=yes there is one named NAME-copy with its data.
type controller struct {
	client kubernetes.Interface
	maps   cache.Indexer
	queue  workqueue.TypedRateLimitingInterface[string]
}

func (c *controller) run(ctx context.Context) {
	for {
		key, quit := c.queue.Get()
		if quit {
			return
		}
		if err := c.sync(ctx, key); err != nil {
			c.queue.AddRateLimited(key)
		} else {
			c.queue.Forget(key)
		}
		c.queue.Done(key)
	}
}

func (c *controller) sync(ctx context.Context, key string) error {
	object, exists, err := c.maps.GetByKey(key)
	if err != nil || !exists {
		return err
	}
	source := object.(*corev1.ConfigMap)
	if source.Labels["copy"] != "yes" {
		return nil
	}
	maps := c.client.CoreV1().ConfigMaps(source.Namespace)
	wanted := configMap(source.Name+"-copy", source.Data)
	wanted.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(source, corev1.SchemeGroupVersion.WithKind("ConfigMap"))}
	present, err := maps.Get(ctx, wanted.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = maps.Create(ctx, wanted, metav1.CreateOptions{})
		return err
	}
	if err != nil || reflect.DeepEqual(present.Data, wanted.Data) {
		return err
	}
	present.Data = wanted.Data
	_, err = maps.Update(ctx, present, metav1.UpdateOptions{})
	return err
}

func informersAndController(ctx context.Context, client kubernetes.Interface, namespace string) {
	for i := range many {
		if _, err := client.CoreV1().ConfigMaps(namespace).Create(ctx, configMap(fmt.Sprintf("m%d", i), nil), metav1.CreateOptions{}); err != nil {
			check("creating many config maps", err)
			return
		}
	}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace))
	informer := factory.Core().V1().ConfigMaps().Informer()
	c := &controller{client, informer.GetIndexer(), workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]())}
	add := func(object any) {
		if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object); err == nil {
			c.queue.Add(key)
		}
	}
	informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: add, UpdateFunc: func(_, now any) { add(now) }, DeleteFunc: add})
	factory.Start(ctx.Done())
	synced, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var err error
	if !cache.WaitForCacheSync(synced.Done(), informer.HasSynced) {
		err = fmt.Errorf("not within %v", patience)
	}
	check("an informer is in step", err)
	err = nil
	if have := len(c.maps.ListKeys()); have < many {
		err = fmt.Errorf("%d of %d", have, many)
	}
	check("with every object", err)

	go c.run(ctx)
	source := configMap("source", map[string]string{"a": "1"})
	source.Labels["copy"] = "yes"
	made, err := client.CoreV1().ConfigMaps(namespace).Create(ctx, source, metav1.CreateOptions{})
	check("a config map is created", err)
	hasData := func(want string) func() error {
		return func() error {
			copied, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, "source-copy", metav1.GetOptions{})
			if err == nil && copied.Data["a"] != want {
				err = fmt.Errorf("it has %q", copied.Data["a"])
			}
			return err
		}
	}
	check("the controller makes its copy", eventually(hasData("1")))
	made.Data["a"] = "2"
	_, err = client.CoreV1().ConfigMaps(namespace).Update(ctx, made, metav1.UpdateOptions{})
	check("it is updated", err)
	check("and so is the copy", eventually(hasData("2")))
	_, err = client.CoreV1().ConfigMaps(namespace).Update(ctx, made, metav1.UpdateOptions{})
	if !apierrors.IsConflict(err) {
		err = fmt.Errorf("expected a conflict, got %v", err)
	} else {
		err = nil
	}
	check("an update of an old version is a conflict", err)
	check("retry.RetryOnConflict gets through", retry.RetryOnConflict(retry.DefaultRetry, func() error {
		now, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, "source", metav1.GetOptions{})
		if err != nil {
			return err
		}
		now.Data["a"] = "3"
		_, err = client.CoreV1().ConfigMaps(namespace).Update(ctx, now, metav1.UpdateOptions{})
		return err
	}))
	check("the informer sees it", eventually(func() error {
		object, exists, err := c.maps.GetByKey(namespace + "/source-copy")
		if err != nil || !exists {
			return fmt.Errorf("exists: %v, %v", exists, err)
		}
		if data := object.(*corev1.ConfigMap).Data["a"]; data != "3" {
			return fmt.Errorf("it has %q", data)
		}
		return nil
	}))
	c.queue.ShutDown()
}

func pages(ctx context.Context, client kubernetes.Interface, namespace string) {
	count, version := 0, ""
	options := metav1.ListOptions{Limit: 100, LabelSelector: labels.Set{"set": "all"}.String()}
	var err error
	for {
		var page *corev1.ConfigMapList
		page, err = client.CoreV1().ConfigMaps(namespace).List(ctx, options)
		if err != nil {
			break
		}
		if version != "" && page.ResourceVersion != version {
			err = fmt.Errorf("pages of versions %s and %s", version, page.ResourceVersion)
			break
		}
		version = page.ResourceVersion
		count += len(page.Items)
		options.Continue = page.Continue
		if options.Continue == "" {
			break
		}
	}
	if err == nil && count < many {
		err = fmt.Errorf("%d objects", count)
	}
	check("a list comes in pages of one version", err)
}

func applies(ctx context.Context, client kubernetes.Interface, namespace string) {
	maps := client.CoreV1().ConfigMaps(namespace)
	wanted := corev1ac.ConfigMap("applied", namespace).WithData(map[string]string{"a": "1"})
	_, err := maps.Apply(ctx, wanted, metav1.ApplyOptions{FieldManager: "one"})
	check("server-side apply makes an object", err)
	_, err = maps.Apply(ctx, corev1ac.ConfigMap("applied", namespace).WithData(map[string]string{"a": "2"}), metav1.ApplyOptions{FieldManager: "two"})
	if !apierrors.IsConflict(err) {
		err = fmt.Errorf("expected a conflict, got %v", err)
	} else {
		err = nil
	}
	check("and meets a conflict", err)
	_, err = maps.Patch(ctx, "applied", types.StrategicMergePatchType, []byte(`{"data":{"b":"2"}}`), metav1.PatchOptions{})
	check("a strategic merge patch", err)
	check("deletecollection", maps.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{FieldSelector: "metadata.name=applied"}))
	_, err = maps.Get(ctx, "applied", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		err = nil
	}
	check("leaves nothing of what it selected", err)
}

func watches(ctx context.Context, client kubernetes.Interface, namespace string) {
	maps := client.CoreV1().ConfigMaps(namespace)
	list, err := maps.List(ctx, metav1.ListOptions{})
	if err != nil {
		check("a list", err)
		return
	}
	follower, err := maps.Watch(ctx, metav1.ListOptions{ResourceVersion: list.ResourceVersion, FieldSelector: "metadata.name=followed"})
	if !check("a watch from the list's version", err) {
		return
	}
	defer follower.Stop()
	made, err := maps.Create(ctx, configMap("followed", map[string]string{"n": "0"}), metav1.CreateOptions{})
	check("what is watched is created", err)
	made.Data["n"] = "1"
	_, err = maps.Update(ctx, made, metav1.UpdateOptions{})
	check("updated", err)
	check("deleted", maps.Delete(ctx, "followed", metav1.DeleteOptions{}))
	var seen []watch.EventType
	timeout := time.After(patience)
	for len(seen) < 3 {
		select {
		case event := <-follower.ResultChan():
			seen = append(seen, event.Type)
		case <-timeout:
			check("the watch tells it all", fmt.Errorf("seen %v", seen))
			return
		}
	}
	err = nil
	if !reflect.DeepEqual(seen, []watch.EventType{watch.Added, watch.Modified, watch.Deleted}) {
		err = fmt.Errorf("seen %v", seen)
	}
	check("the watch tells it all, in order", err)
}

// Two candidates: the second leads when the first gives up, and never beside it.
func leaderElection(ctx context.Context, client kubernetes.Interface, namespace string) {
	var leaders, most atomic.Int32
	led := make(chan string, 2)
	candidate := func(name string) (stop func()) {
		ctx, cancel := context.WithCancel(ctx)
		// Who is told to end leads no more: OnStoppedLeading comes when the lease was given back, and then another may lead.
		end := sync.OnceFunc(func() { leaders.Add(-1) })
		lock := &resourcelock.LeaseLock{LeaseMeta: metav1.ObjectMeta{Name: "leader", Namespace: namespace}, Client: client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: name}}
		go leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{Lock: lock, ReleaseOnCancel: true,
			LeaseDuration: 30 * time.Second, RenewDeadline: 20 * time.Second, RetryPeriod: 200 * time.Millisecond,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(context.Context) {
					if now := leaders.Add(1); now > most.Load() {
						most.Store(now)
					}
					led <- name
				},
				OnStoppedLeading: end}})
		return func() {
			end()
			cancel()
		}
	}
	wait := func(what string) string {
		select {
		case name := <-led:
			check(what, nil)
			return name
		case <-time.After(patience):
			check(what, fmt.Errorf("not within %v", patience))
			return ""
		}
	}
	stopFirst := candidate("first")
	wait("the first candidate leads")
	defer candidate("second")()
	stopFirst()
	name := wait("the second leads when the first gives up")
	var err error
	if name != "second" || most.Load() != 1 {
		err = fmt.Errorf("%q leads, and at most %d did at once", name, most.Load())
	}
	check("never both at once", err)
}

// join asks for a node's client certificate with the code that kubelet has for it.
func join(ctx context.Context, client kubernetes.Interface, node string) {
	what := "a certificate for system:node:" + node
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if !check("a key", err) {
		return
	}
	subject := &pkix.Name{Organization: []string{"system:nodes"}, CommonName: "system:node:" + node}
	request, err := cert.MakeCSR(key, subject, nil, nil)
	if !check("a request", err) {
		return
	}
	usages := []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth}
	name, uid, err := csr.RequestCertificateWithContext(ctx, client, request, "", certificatesv1.KubeAPIServerClientKubeletSignerName, nil, usages, key)
	if !check("it is asked for", err) {
		return
	}
	_, err = csr.WaitForCertificate(ctx, client, name, uid)
	check(what, err)
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "whom to ask")
	contentType := flag.String("content-type", "application/json", "of bodies")
	node := flag.String("join", "", "instead of all else: asks for this node's certificate as kubelet does")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		check("the kubeconfig is read", err)
		os.Exit(1)
	}
	config.QPS, config.Burst = 1000, 2000
	plain := *config
	config.ContentType = *contentType
	if *contentType != "application/json" {
		config.AcceptContentTypes = *contentType + ",application/json"
	}
	client := kubernetes.NewForConfigOrDie(config)
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	if *node != "" {
		join(ctx, client, *node)
		return
	}
	made, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "go-"}}, metav1.CreateOptions{})
	if !check("a namespace is created", err) {
		os.Exit(1)
	}
	namespace := made.Name
	informersAndController(ctx, client, namespace)
	pages(ctx, client, namespace)
	applies(ctx, client, namespace)
	watches(ctx, client, namespace)
	leaderElection(ctx, client, namespace)
	partial, err := metadata.NewForConfigOrDie(&plain).Resource(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}).
		Namespace(namespace).List(ctx, metav1.ListOptions{})
	if err == nil && len(partial.Items) < many {
		err = fmt.Errorf("%d objects", len(partial.Items))
	}
	check("metadata alone is listed", err)
	if failed.Load() {
		os.Exit(1)
	}
}
