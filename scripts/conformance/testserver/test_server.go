// The server of Kubernetes' storage tests: a process of MARTLET_BIN, where theirs embeds an etcd. The same functions with
// the same meaning, so that the tests stay as they are.

package testserver

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"
	"google.golang.org/grpc"
	storagetesting "k8s.io/apiserver/pkg/storage/testing"
)

// NewTestConfig names free ports and a directory that goes when the test ends.
func NewTestConfig(t testing.TB) *embed.Config {
	cfg := embed.NewConfig()
	client, peer := freeURL(t), freeURL(t)
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.Dir = t.TempDir()
	return cfg
}

func freeURL(t testing.TB) url.URL {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return url.URL{Scheme: "http", Host: listener.Addr().String()}
}

// RunEtcd starts a server, which is killed when the test ends, and returns a client of it.
func RunEtcd(t testing.TB, cfg *embed.Config) *kubernetes.Client {
	t.Helper()
	if cfg == nil {
		cfg = NewTestConfig(t)
	}
	start(t, cfg)
	tls, err := cfg.ClientTLSInfo.ClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.New(clientv3.Config{
		TLS:         tls,
		Endpoints:   []string{cfg.AdvertiseClientUrls[0].String()},
		DialTimeout: 30 * time.Second,
		DialOptions: []grpc.DialOption{grpc.WithBlock()},
		Logger:      zaptest.NewLogger(t, zaptest.Level(zapcore.ErrorLevel)).Named("etcd-client"),
	})
	if err != nil {
		t.Fatal(err)
	}
	client.KV = storagetesting.NewKVRecorder(client.KV)
	client.Kubernetes = storagetesting.NewKubernetesRecorder(client.Kubernetes)
	return client
}

func start(t testing.TB, cfg *embed.Config) {
	flags := []string{
		"--name", cfg.Name, "--data-dir", filepath.Join(cfg.Dir, "data"), "--unsafe-no-fsync", "--log-level", "warn",
		"--listen-client-urls", cfg.ListenClientUrls[0].String(), "--advertise-client-urls", cfg.AdvertiseClientUrls[0].String(),
		"--listen-peer-urls", cfg.ListenPeerUrls[0].String(), "--initial-advertise-peer-urls", cfg.AdvertisePeerUrls[0].String(),
		"--initial-cluster", cfg.InitialCluster,
		os.Getenv("MARTLET_PROGRESS_FLAG") + "=" + cfg.ExperimentalWatchProgressNotifyInterval.String(),
	}
	if tls := cfg.ClientTLSInfo; !tls.Empty() {
		flags = append(flags, "--cert-file", tls.CertFile, "--key-file", tls.KeyFile, "--trusted-ca-file", tls.TrustedCAFile,
			fmt.Sprintf("--client-cert-auth=%t", tls.ClientCertAuth))
	}
	server := exec.Command(os.Getenv("MARTLET_BIN"), flags...)
	server.Stdout, server.Stderr = os.Stderr, os.Stderr
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
}
