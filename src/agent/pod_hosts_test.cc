// SPDX-License-Identifier: Apache-2.0
#include "agent/pod_hosts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kubernetes/core/v1/pod.pb.h"

namespace gantry::agent {
namespace {

namespace core = k8s::io::api::core::v1;
using testing::HasSubstr;
using testing::StartsWith;

constexpr char kDomain[] = "cluster.local";

core::Pod named(const std::string& name) {
  core::Pod pod;
  pod.mutable_metadata()->set_name(name);
  pod.mutable_metadata()->set_namespace_("shop");
  return pod;
}

TEST(PodHosts, NamesAreCut) {
  core::Pod pod = named(std::string(62, 'a') + "." + std::string(20, 'b'));
  EXPECT_EQ(pod_hostname(pod), std::string(62, 'a'));
  pod.mutable_spec()->set_hostname("web");
  EXPECT_EQ(pod_hostname(pod), "web");
  pod.mutable_spec()->set_hostname_override("web.example.com");
  EXPECT_EQ(pod_hostname(pod), "web.example.com");
}

TEST(PodHosts, TheKernelHasTheFullNameWhenItIsAskedFor) {
  core::Pod pod = named("web");
  pod.mutable_spec()->set_subdomain("front");
  EXPECT_EQ(kernel_hostname(pod, kDomain), "web");
  pod.mutable_spec()->set_set_hostname_as_fqdn(true);
  EXPECT_EQ(kernel_hostname(pod, kDomain), "web.front.shop.svc.cluster.local");
  EXPECT_TRUE(check_hostname(pod, kDomain));
  pod.mutable_spec()->set_hostname(std::string(40, 'w'));
  EXPECT_THAT(check_hostname(pod, kDomain).error().message(), HasSubstr("(64 characters is the max, 69"));
  pod.mutable_spec()->set_hostname_override("other");
  EXPECT_EQ(kernel_hostname(pod, kDomain), "other");
}

TEST(PodHosts, TheFileHasThePodsNamesAndItsAliases) {
  core::Pod pod = named("web");
  pod.mutable_spec()->set_subdomain("front");
  auto* alias = pod.mutable_spec()->add_host_aliases();
  alias->set_ip("192.0.2.7");
  alias->add_hostnames("db");
  alias->add_hostnames("db.example.com");
  const std::string text = hosts_file(pod, {"10.88.0.5", "fd00::5"}, kDomain, "");
  EXPECT_THAT(text, StartsWith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"));
  EXPECT_THAT(text, HasSubstr("10.88.0.5\tweb.front.shop.svc.cluster.local\tweb\n"
                              "fd00::5\tweb.front.shop.svc.cluster.local\tweb\n"));
  EXPECT_THAT(text, HasSubstr("# Entries added by HostAliases.\n192.0.2.7\tdb\tdb.example.com\n"));
}

TEST(PodHosts, OnTheHostsNetworkItIsTheNodes) {
  core::Pod pod = named("web");
  pod.mutable_spec()->set_host_network(true);
  EXPECT_EQ(hosts_file(pod, {"192.0.2.1"}, kDomain, "127.0.0.1 node\n"),
            "# Kubernetes-managed hosts file (host network).\n127.0.0.1 node\n");
}

TEST(PodHosts, AContainersOwnFileStays) {
  core::Pod pod = named("web");
  core::Container& container = *pod.mutable_spec()->add_containers();
  EXPECT_TRUE(needs_hosts_file(pod, container, {"10.88.0.5"}));
  EXPECT_FALSE(needs_hosts_file(pod, container, {}));
  container.add_volume_mounts()->set_mount_path("/etc/hosts");
  EXPECT_FALSE(needs_hosts_file(pod, container, {"10.88.0.5"}));
}

}  // namespace
}  // namespace gantry::agent
