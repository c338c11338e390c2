// SPDX-License-Identifier: Apache-2.0
// gRPC's own server and health service, for probes: `grpc-health ADDRESS SERVICE...`. It serves the services and, as every
// server does, itself ("") from the start. SIGUSR1: the services do not serve; SIGUSR2: they do again; SIGTERM: it ends.
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

func main() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTERM)
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	server, service := grpc.NewServer(), health.NewServer()
	grpc_health_v1.RegisterHealthServer(server, service)
	set := func(status grpc_health_v1.HealthCheckResponse_ServingStatus) {
		for _, name := range os.Args[2:] {
			service.SetServingStatus(name, status)
		}
	}
	set(grpc_health_v1.HealthCheckResponse_SERVING)
	go server.Serve(listener)
	for got := range signals {
		switch got {
		case syscall.SIGUSR1:
			set(grpc_health_v1.HealthCheckResponse_NOT_SERVING)
		case syscall.SIGUSR2:
			set(grpc_health_v1.HealthCheckResponse_SERVING)
		default:
			server.Stop()
			return
		}
	}
}
