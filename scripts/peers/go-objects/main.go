// Command go-objects prints objects of all kinds of Kubernetes, filled at random by Kubernetes' own
// fuzzers, with what its serializers make of them; or measures how fast those decode.
//
//	go-objects COUNT SEED    COUNT objects of each kind, a line each, tab-separated: apiVersion, kind,
//	                         and in base64 the stored form, its JSON, its YAML, the form stored again
//	go-objects bench FOLDER  megabytes of stored protobuf (files NAME.bin) to JSON per second of CPU time
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"log"
	"math/rand"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"syscall"

	crdv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	crdv1beta1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1beta1"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/randfill"
)

var (
	kinds  = scheme.Scheme
	toJSON = json.NewSerializerWithOptions(json.DefaultMetaFactory, kinds, kinds, json.SerializerOptions{})
	toYAML = json.NewSerializerWithOptions(json.DefaultMetaFactory, kinds, kinds, json.SerializerOptions{Yaml: true})
	stored = protobuf.NewSerializer(kinds, kinds)
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: go-objects COUNT SEED | bench FOLDER")
	}
	for _, add := range []func(*runtime.Scheme) error{crdv1.AddToScheme, crdv1beta1.AddToScheme} {
		if err := add(kinds); err != nil {
			log.Fatal(err)
		}
	}
	if os.Args[1] == "bench" {
		bench(os.Args[2])
		return
	}
	count, err := strconv.Atoi(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	seed, err := strconv.ParseInt(os.Args[2], 10, 64)
	if err != nil {
		log.Fatal(err)
	}
	print(count, seed)
}

func print(count int, seed int64) {
	fill := fuzzer.FuzzerFor(metafuzzer.Funcs, rand.NewSource(seed), serializer.NewCodecFactory(kinds))
	fill.Funcs(func(fields *metav1.FieldsV1, c randfill.Continue) {
		fields.Raw = []byte(`{"f:metadata":{".":{},"f:x":{}}}`)
	})
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for _, kind := range externalKinds() {
		for i := 0; i < count; i++ {
			object, err := kinds.New(kind)
			if err != nil {
				log.Fatal(err)
			}
			// Schemas hold schemas: filled at random they never end.
			if i > 0 && kind.Group != crdv1.GroupName {
				fill.Fill(object)
			}
			object.GetObjectKind().SetGroupVersionKind(kind)
			if err := write(out, kind, object); err != nil {
				fmt.Fprintf(os.Stderr, "%s: %v\n", kind, err)
				break
			}
		}
	}
}

func externalKinds() (list []schema.GroupVersionKind) {
	for kind := range kinds.AllKnownTypes() {
		// An event of a watch is no object of its own.
		if kind.Version != runtime.APIVersionInternal && kind.Kind != "WatchEvent" {
			list = append(list, kind)
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].String() < list[j].String() })
	return list
}

func write(out *bufio.Writer, kind schema.GroupVersionKind, object runtime.Object) error {
	var first, asJSON, asYAML, again bytes.Buffer
	if err := stored.Encode(object, &first); err != nil {
		return err
	}
	// What was nil and what was empty is the same once it was stored.
	decoded, _, err := stored.Decode(first.Bytes(), nil, nil)
	if err != nil {
		return err
	}
	decoded.GetObjectKind().SetGroupVersionKind(kind)
	if err := toJSON.Encode(decoded, &asJSON); err != nil {
		return err
	}
	if err := toYAML.Encode(decoded, &asYAML); err != nil {
		return err
	}
	back, _, err := toJSON.Decode(asJSON.Bytes(), nil, nil)
	if err != nil {
		return err
	}
	if err := stored.Encode(back, &again); err != nil {
		return err
	}
	text := base64.StdEncoding.EncodeToString
	_, err = fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\n", kind.GroupVersion(), kind.Kind, text(first.Bytes()),
		text(bytes.TrimSuffix(asJSON.Bytes(), []byte("\n"))), text(asYAML.Bytes()), text(again.Bytes()))
	return err
}

func bench(folder string) {
	files, err := filepath.Glob(filepath.Join(folder, "*.bin"))
	if err != nil {
		log.Fatal(err)
	}
	var values [][]byte
	size := 0
	for _, file := range files {
		value, err := os.ReadFile(file)
		if err != nil {
			log.Fatal(err)
		}
		if _, _, err := stored.Decode(value, nil, nil); err == nil && bytes.HasPrefix(value, []byte("k8s\x00")) {
			values = append(values, value)
			size += len(value)
		}
	}
	if len(values) == 0 {
		log.Fatal("no stored protobuf values in ", folder)
	}
	var out bytes.Buffer
	start, done := cpuSeconds(), 0
	for cpuSeconds()-start < 2 {
		for _, value := range values {
			object, _, err := stored.Decode(value, nil, nil)
			if err != nil {
				log.Fatal(err)
			}
			out.Reset()
			if err := toJSON.Encode(object, &out); err != nil {
				log.Fatal(err)
			}
		}
		done += size
	}
	fmt.Printf("%d values, %.1f MB/s\n", len(values), float64(done)/(cpuSeconds()-start)/1e6)
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	return float64(usage.Utime.Sec+usage.Stime.Sec) + float64(usage.Utime.Usec+usage.Stime.Usec)/1e6
}
