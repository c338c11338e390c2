// SPDX-License-Identifier: Apache-2.0
#include "cri/validate.h"

#include <gmock/gmock.h>

#include <functional>

#include "cri/runtime/v1/api.pb.h"

namespace gantry::cri {
namespace {

using ::testing::HasSubstr;

v1::PodSandboxConfig pod() {
  v1::PodSandboxConfig config;
  config.mutable_metadata()->set_name("web");
  config.mutable_metadata()->set_namespace_("default");
  config.mutable_metadata()->set_uid("9f8a");
  return config;
}

v1::ContainerConfig container() {
  v1::ContainerConfig config;
  config.mutable_metadata()->set_name("main");
  config.mutable_image()->set_image("busybox:1");
  return config;
}

// What is wrong, as a word that the sentence must have.
void refused(const Status& status, Code code, const std::string& word) {
  ASSERT_FALSE(status) << word;
  EXPECT_EQ(status.error().code(), code) << status.error().message();
  EXPECT_THAT(status.error().message(), HasSubstr(word));
  EXPECT_LT(status.error().message().size(), 400U) << "a sentence, not the value";
}

void pod_refused(Code code, const std::string& word, const std::function<void(v1::PodSandboxConfig&)>& change) {
  v1::PodSandboxConfig config = pod();
  change(config);
  refused(validate_sandbox(config, cgroups::DriverKind::kCgroupfs), code, word);
}

void container_refused(Code code, const std::string& word, const std::function<void(v1::ContainerConfig&)>& change,
                       const v1::PodSandboxConfig& of = pod()) {
  v1::ContainerConfig config = container();
  change(config);
  refused(validate_container(config, of), code, word);
}

constexpr Code kInvalid = Code::kInvalidArgument;
constexpr Code kUnimplemented = Code::kUnimplemented;

// ---- pods

TEST(ValidateSandbox, TakesTheLeastAndTheUsual) {
  EXPECT_TRUE(validate_sandbox(pod(), cgroups::DriverKind::kCgroupfs));
  v1::PodSandboxConfig config = pod();
  config.set_hostname("web-0.example");
  config.set_log_directory("/var/log/pods/default_web_9f8a");
  config.mutable_dns_config()->add_servers("10.96.0.10");
  config.mutable_dns_config()->add_options("ndots:5");
  config.add_port_mappings()->set_container_port(80);
  (*config.mutable_labels())["io.kubernetes.pod.name"] = "web";
  config.mutable_linux()->set_cgroup_parent("/kubepods/burstable/pod9f8a");
  config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(v1::CONTAINER);
  (*config.mutable_linux()->mutable_sysctls())["net.ipv4.ip_local_port_range"] = "1024 65535";
  EXPECT_TRUE(validate_sandbox(config, cgroups::DriverKind::kCgroupfs));
}

TEST(ValidateSandbox, Names) {
  refused(validate_sandbox({}, cgroups::DriverKind::kCgroupfs), kInvalid, "metadata");
  pod_refused(kInvalid, "metadata.name", [](auto& c) { c.mutable_metadata()->set_name(""); });
  pod_refused(kInvalid, "metadata.uid", [](auto& c) { c.mutable_metadata()->set_uid("../../x"); });
  pod_refused(kInvalid, "metadata.namespace", [](auto& c) { c.mutable_metadata()->set_namespace_("a\nb"); });
  pod_refused(kInvalid, "253", [](auto& c) { c.mutable_metadata()->set_name(std::string(254, 'x')); });
  pod_refused(kInvalid, "hostname", [](auto& c) { c.set_hostname("a\n127.0.0.1 b"); });
  pod_refused(kInvalid, "hostname", [](auto& c) { c.set_hostname(std::string(65, 'h')); });
}

TEST(ValidateSandbox, Paths) {
  for (const char* path : {"logs", "/var/../etc", "/var//log", "/var/./log", "/a\nb"}) {
    pod_refused(kInvalid, "log_directory", [&](auto& c) { c.set_log_directory(path); });
    pod_refused(kInvalid, "cgroup_parent", [&](auto& c) { c.mutable_linux()->set_cgroup_parent(path); });
  }
  pod_refused(kInvalid, "log_directory", [](auto& c) { c.set_log_directory("/" + std::string(5000, 'x')); });
}

TEST(ValidateSandbox, WithTheDriverSystemdTheParentIsASlice) {
  auto with_parent = [](const std::string& parent) {
    v1::PodSandboxConfig config = pod();
    config.mutable_linux()->set_cgroup_parent(parent);
    return validate_sandbox(config, cgroups::DriverKind::kSystemd);
  };
  for (const char* parent : {"", "kubepods-pod1.slice", "/kubepods.slice/kubepods-pod1.slice", "-.slice"}) {
    EXPECT_TRUE(with_parent(parent)) << parent;
  }
  for (const char* parent :
       {"/kubepods/pod1", "kubepods", "/kubepods-pod1.slice", "/a.slice/../b.slice", "a\n.slice"}) {
    refused(with_parent(parent), kInvalid, "linux.cgroup_parent");
  }
  refused(with_parent("/kubepods/pod1"), kInvalid, "\"/kubepods/pod1\": give a slice");
}

TEST(ValidateSandbox, Sizes) {
  pod_refused(kInvalid, "annotations", [](auto& c) {
    for (int i = 0; i < 3; ++i) (*c.mutable_annotations())[std::to_string(i)] = std::string(100000, 'x');
  });
  pod_refused(kInvalid, "labels", [](auto& c) { (*c.mutable_labels())[std::string(318, 'k')] = "v"; });
  pod_refused(kInvalid, "labels", [](auto& c) { (*c.mutable_labels())[""] = "v"; });
  pod_refused(kInvalid, "linux: resources.cpu_shares -1",
              [](auto& c) { c.mutable_linux()->mutable_resources()->set_cpu_shares(-1); });
  pod_refused(kInvalid, "dns_config.servers", [](auto& c) {
    for (int i = 0; i < 65; ++i) c.mutable_dns_config()->add_servers("10.0.0.1");
  });
  pod_refused(kInvalid, "dns_config.searches",
              [](auto& c) { c.mutable_dns_config()->add_searches("a\nnameserver 6.6.6.6"); });
  pod_refused(kInvalid, "dns_config.options", [](auto& c) { c.mutable_dns_config()->add_options("a b"); });
}

TEST(ValidateSandbox, PortsOfAPodOnTheHostsNetworkAreTheHosts) {
  v1::PodSandboxConfig config = pod();
  config.add_port_mappings()->set_host_port(8080);
  config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_network(v1::NODE);
  EXPECT_TRUE(validate_sandbox(config, cgroups::DriverKind::kCgroupfs));
}

TEST(ValidateSandbox, WhatIsNotSupportedIsSaid) {
  pod_refused(kInvalid, "host_port 8080 leads to none", [](auto& c) { c.add_port_mappings()->set_host_port(8080); });
  pod_refused(kInvalid, "host_port", [](auto& c) { c.add_port_mappings()->set_host_port(65536); });
  pod_refused(kUnimplemented, "windows", [](auto& c) { c.mutable_windows(); });
}

void set_mapping(v1::IDMapping* mapping, std::uint32_t host, std::uint32_t length = 65536, std::uint32_t inside = 0) {
  mapping->set_host_id(host);
  mapping->set_container_id(inside);
  mapping->set_length(length);
}

v1::NamespaceOption* namespaces(auto& config) {
  return config.mutable_linux()->mutable_security_context()->mutable_namespace_options();
}

// A user namespace as a kubelet asks for it.
v1::UserNamespace* set_users(auto& config, std::uint32_t first = 131072) {
  auto* users = namespaces(config)->mutable_userns_options();
  set_mapping(users->add_uids(), first);
  set_mapping(users->add_gids(), first);
  return users;
}

TEST(ValidateSandbox, UserNamespaces) {
  v1::PodSandboxConfig config = pod();
  set_users(config);
  EXPECT_TRUE(validate_sandbox(config, cgroups::DriverKind::kCgroupfs));
  config = pod();
  namespaces(config)->mutable_userns_options()->set_mode(v1::NODE);
  EXPECT_TRUE(validate_sandbox(config, cgroups::DriverKind::kCgroupfs));
  auto wrong = [](const std::string& word, const std::function<void(v1::UserNamespace&)>& change) {
    pod_refused(kInvalid, word, [&](auto& c) { change(*set_users(c)); });
  };
  wrong("userns_options.uids: 0 mappings; give exactly one", [](auto& u) { u.clear_uids(); });
  wrong("userns_options.gids: 2 mappings; give exactly one", [](auto& u) { set_mapping(u.add_gids(), 9, 1, 65536); });
  wrong("userns_options.mode CONTAINER: give POD or NODE", [](auto& u) { u.set_mode(v1::CONTAINER); });
  wrong("userns_options.mode TARGET: give POD or NODE", [](auto& u) { u.set_mode(v1::TARGET); });
  wrong("uids[0].container_id 5: give 0", [](auto& u) { u.mutable_uids(0)->set_container_id(5); });
  wrong("gids[0].host_id 0: is the host's root", [](auto& u) { u.mutable_gids(0)->set_host_id(0); });
  wrong("uids[0].length 0: give 1 or more", [](auto& u) { u.mutable_uids(0)->set_length(0); });
  wrong("uids[0].length 65536: from host_id 4294967000 on there are 295 ids",
        [](auto& u) { u.mutable_uids(0)->set_host_id(4294967000); });
  for (auto [name, set] :
       {std::pair("network NODE", &v1::NamespaceOption::set_network),
        std::pair("pid NODE", &v1::NamespaceOption::set_pid), std::pair("ipc NODE", &v1::NamespaceOption::set_ipc)}) {
    pod_refused(kInvalid, name, [&](auto& c) {
      set_users(c);
      (namespaces(c)->*set)(v1::NODE);
    });
  }
}

TEST(ValidateContainer, UserNamespacesAreThePods) {
  v1::PodSandboxConfig with = pod();
  set_users(with);
  v1::ContainerConfig config = container();
  set_users(config);
  EXPECT_TRUE(validate_container(config, with));
  container_refused(kInvalid, "the pod's are NODE; give the same", [](auto& c) { set_users(c); });
  container_refused(kInvalid, "userns_options NODE: the pod's are {", [](auto&) {}, with);
  container_refused(kInvalid, "host_id: 5", [](auto& c) { set_users(c, 5); }, with);
  container_refused(
      kInvalid, "pid NODE",
      [](auto& c) {
        set_users(c);
        namespaces(c)->set_pid(v1::NODE);
      },
      with);
}

TEST(ValidateContainer, MappingsOfMounts) {
  v1::PodSandboxConfig with = pod();
  set_users(with);
  auto mount = [](v1::ContainerConfig& c) {
    auto* made = c.add_mounts();
    made->set_container_path("/data");
    set_mapping(made->add_uidmappings(), 5);
    set_mapping(made->add_gidmappings(), 6);
    return made;
  };
  auto volume = [&](v1::ContainerConfig& c) {
    auto* made = mount(c);
    made->set_host_path("/srv");
    return made;
  };
  v1::ContainerConfig config = container();
  volume(config);
  EXPECT_TRUE(validate_container(config, pod()));
  container_refused(kInvalid, "gidMappings: not given", [&](auto& c) { volume(c)->clear_gidmappings(); });
  container_refused(kInvalid, "uidMappings: not given", [&](auto& c) { volume(c)->clear_uidmappings(); });
  container_refused(kInvalid, "uidMappings[0].length 0",
                    [&](auto& c) { volume(c)->mutable_uidmappings(0)->set_length(0); });
  container_refused(kInvalid, "uidMappings[1].host_id 9: overlaps",
                    [&](auto& c) { set_mapping(volume(c)->add_uidmappings(), 9, 1, 65536); });
  container_refused(kInvalid, "uidMappings[1].container_id 9: overlaps",
                    [&](auto& c) { set_mapping(volume(c)->add_uidmappings(), 200000, 1, 9); });
  container_refused(kInvalid, "400 mappings; the kernel takes 340", [&](auto& c) {
    for (auto* made = volume(c); made->uidmappings_size() < 400;)
      set_mapping(made->add_uidmappings(), 70000U + static_cast<std::uint32_t>(made->uidmappings_size()), 1,
                  70000U + static_cast<std::uint32_t>(made->uidmappings_size()));
  });
  container_refused(
      kInvalid, "of an image differ from those of the pod",
      [&](auto& c) {
        set_users(c);
        auto* made = mount(c);
        made->mutable_image()->set_image("x");
        made->set_readonly(true);
      },
      with);
}

TEST(ValidateSandbox, Sysctls) {
  auto set = [](v1::PodSandboxConfig& c, const std::string& key, const std::string& value) {
    (*c.mutable_linux()->mutable_sysctls())[key] = value;
  };
  for (const char* key :
       {"kernel.core_pattern", "kernel.shm_rmid_forced_x", "vm.swappiness", "net", "..", "net/../kernel/x", "net..core",
        "net.core.somaxconn=1", "net core", "kernel.domainname", "net.ipv4.x\n"}) {
    pod_refused(kInvalid, "sysctls", [&](auto& c) { set(c, key, "1"); });
  }
  for (const char* value : {"", "1\n2", "1\r", "\x01", "\xff"}) {
    pod_refused(kInvalid, "sysctls", [&](auto& c) { set(c, "net.core.somaxconn", value); });
  }
  pod_refused(kInvalid, "sysctls", [&](auto& c) { set(c, "net.core.somaxconn", std::string("1\0", 2)); });
  pod_refused(kInvalid, "host's network", [&](auto& c) {
    c.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_network(v1::NODE);
    set(c, "net.core.somaxconn", "1");
  });
  pod_refused(kInvalid, "ipc", [&](auto& c) {
    c.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_ipc(v1::NODE);
    set(c, "kernel.shmmax", "1");
  });
  pod_refused(kInvalid, "given twice", [&](auto& c) {
    set(c, "net.core.somaxconn", "1");
    set(c, "net/core/somaxconn", "2");
  });
  v1::PodSandboxConfig config = pod();
  set(config, "net.ipv4.conf.eth0/1.forwarding", "1+1");
  set(config, "net/ipv4/conf/eth0.2/forwarding", "0");
  set(config, "kernel.shm_rmid_forced", "1");
  auto paths = sysctl_paths(config);
  ASSERT_TRUE(paths);
  EXPECT_THAT(*paths, ::testing::ElementsAre(::testing::Pair("kernel/shm_rmid_forced", "1"),
                                             ::testing::Pair("net/ipv4/conf/eth0.1/forwarding", "1+1"),
                                             ::testing::Pair("net/ipv4/conf/eth0.2/forwarding", "0")));
}

// ---- containers

TEST(ValidateContainer, TakesTheLeastAndTheUsual) {
  EXPECT_TRUE(validate_container(container(), pod()));
  v1::ContainerConfig config = container();
  config.add_command("sh");
  config.add_args("-c");
  config.set_log_path("main/0.log");
  config.set_working_dir("/srv");
  auto* env = config.add_envs();
  env->set_key("A");
  env->set_value("b=c\n");
  auto* mount = config.add_mounts();
  mount->set_container_path("/data");
  mount->set_host_path("/srv/data");
  auto* device = config.add_devices();
  device->set_host_path("/dev/fuse");
  device->set_container_path("/dev/fuse");
  device->set_permissions("mrw");
  EXPECT_TRUE(validate_container(config, pod()));
}

TEST(ValidateContainer, Process) {
  refused(validate_container({}, pod()), kInvalid, "metadata");
  container_refused(kInvalid, "image.image", [](auto& c) { c.mutable_image()->set_image(""); });
  container_refused(kInvalid, "image.image", [](auto& c) { c.mutable_image()->set_image(std::string(513, 'i')); });
  container_refused(kInvalid, "command", [](auto& c) { c.add_command(std::string(131072, 'x')); });
  container_refused(kInvalid, "zero byte", [](auto& c) { c.add_args(std::string("a\0b", 3)); });
  container_refused(kInvalid, "more than", [](auto& c) {
    for (int i = 0; i < 20000; ++i) c.add_args("x");
  });
  container_refused(kInvalid, "together", [](auto& c) {
    for (int i = 0; i < 40; ++i) c.add_args(std::string(131000, 'x'));
  });
  container_refused(kInvalid, "envs key", [](auto& c) { c.add_envs()->set_key("A=B"); });
  container_refused(kInvalid, "envs key", [](auto& c) { c.add_envs(); });
  container_refused(kInvalid, "working_dir", [](auto& c) { c.set_working_dir("srv"); });
}

TEST(ValidateContainer, NeverTellsAnEnvironmentValue) {
  v1::ContainerConfig config = container();
  auto* env = config.add_envs();
  env->set_key("TOKEN");
  env->set_value(std::string("s3cr3t\0", 7));
  auto status = validate_container(config, pod());
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message(), HasSubstr("TOKEN"));
  EXPECT_THAT(status.error().message(), ::testing::Not(HasSubstr("s3cr3t")));
}

TEST(ValidateContainer, Mounts) {
  auto mount = [](v1::ContainerConfig& c) {
    auto* m = c.add_mounts();
    m->set_container_path("/data");
    m->set_host_path("/srv");
    return m;
  };
  container_refused(kInvalid, "host_path", [&](auto& c) { mount(c)->set_host_path("srv"); });
  container_refused(kInvalid, "container_path", [&](auto& c) { mount(c)->set_container_path(""); });
  container_refused(kInvalid, "needs readonly", [&](auto& c) { mount(c)->set_recursive_read_only(true); });
  container_refused(kInvalid, "PROPAGATION_PRIVATE", [&](auto& c) {
    auto* m = mount(c);
    m->set_readonly(true);
    m->set_recursive_read_only(true);
    m->set_propagation(v1::PROPAGATION_HOST_TO_CONTAINER);
  });
  auto image = [&](auto& c) {
    auto* made = mount(c);
    made->clear_host_path();
    made->mutable_image()->set_image("x");
    made->set_readonly(true);
    return made;
  };
  container_refused(kInvalid, ".readonly", [&](auto& c) { image(c)->set_readonly(false); });
  container_refused(kInvalid, ".host_path", [&](auto& c) { image(c)->set_host_path("/x"); });
  container_refused(kInvalid, ".image.image", [&](auto& c) { image(c)->mutable_image()->clear_image(); });
  container_refused(kInvalid, ".propagation",
                    [&](auto& c) { image(c)->set_propagation(v1::PROPAGATION_BIDIRECTIONAL); });
  container_refused(kInvalid, ".image_sub_path", [&](auto& c) { mount(c)->set_image_sub_path("etc"); });
  for (const char* path : {"/etc", "..", "../x", "a/../../x", "a/.."}) {
    container_refused(kInvalid, ".image_sub_path", [&](auto& c) { image(c)->set_image_sub_path(path); });
  }
  container_refused(kUnimplemented, "mount_options", [&](auto& c) { mount(c)->add_mount_options("noexec"); });
}

TEST(ValidateContainer, Rest) {
  container_refused(kInvalid, "permissions", [](auto& c) {
    auto* device = c.add_devices();
    device->set_host_path("/dev/fuse");
    device->set_container_path("/dev/fuse");
    device->set_permissions("rwx");
  });
  for (const char* path : {"/abs.log", "../x.log", "a//b", "a\nb"}) {
    container_refused(kInvalid, "log_path", [&](auto& c) { c.set_log_path(path); });
  }
  container_refused(kInvalid, "CDI_devices", [](auto& c) { c.add_cdi_devices()->set_name("/dev/x"); });
  container_refused(kInvalid, "cdi.k8s.io/a",
                    [](auto& c) { (*c.mutable_annotations())["cdi.k8s.io/a"] = "v.com/x=1,"; });
  auto security = [](v1::ContainerConfig& c) { return c.mutable_linux()->mutable_security_context(); };
  container_refused(kInvalid, "privileged", [&](auto& c) { security(c)->set_privileged(true); });
  v1::ContainerConfig debugger = container();
  security(debugger)->set_privileged(true);
  EXPECT_TRUE(validate_container(debugger, pod(), true));
  container_refused(kInvalid, "run_as_group", [&](auto& c) { security(c)->mutable_run_as_group()->set_value(1); });
  container_refused(kInvalid, "both", [&](auto& c) {
    security(c)->mutable_run_as_user()->set_value(1);
    security(c)->set_run_as_username("nobody");
  });
  container_refused(kInvalid, "network NODE",
                    [&](auto& c) { security(c)->mutable_namespace_options()->set_network(v1::NODE); });
  container_refused(kInvalid, "target_id",
                    [&](auto& c) { security(c)->mutable_namespace_options()->set_pid(v1::TARGET); });
  container_refused(kInvalid, "localhost_ref",
                    [&](auto& c) { security(c)->mutable_seccomp()->set_profile_type(v1::SecurityProfile::Localhost); });
  v1::PodSandboxConfig own_pids = pod();
  own_pids.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(v1::CONTAINER);
  container_refused(kInvalid, "pid POD", [](auto&) {}, own_pids);
}

TEST(ValidateCommand, Limits) {
  EXPECT_TRUE(validate_command({"ls", ""}));
  refused(validate_command({}), kInvalid, "cmd");
  refused(validate_command({std::string("a\0", 2)}), kInvalid, "zero byte");
  refused(validate_command(std::vector<std::string>(20000, "x")), kInvalid, "more than");
}

}  // namespace
}  // namespace gantry::cri
