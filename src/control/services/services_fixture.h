// SPDX-License-Identifier: Apache-2.0
// Services, pods and nodes for the tests of this folder, in a whole server in the test's process.
#pragma once

#include "control/controllers/controller.h"
#include "control/server/client_fixture.h"
#include "kubernetes/core/v1/node.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "kubernetes/core/v1/service.pb.h"
#include "kubernetes/meta/v1/meta.pb.h"
#include "kubernetes/util/intstr.pb.h"

namespace gantry::control::services {

namespace core = k8s::io::api::core::v1;

class ServicesTest : public ClientTest {
 protected:
  ControllerParts parts() {
    return {loop_, client_, informers_, [this] { return now_; }};
  }
  void start(Controller& controller) {
    run(loop_, [](Controller& controller, api::Informers& informers) -> Task<bool> {
      informers.start_all();
      co_await informers.wait_synced();
      controller.start();
      co_return true;
    }(controller, informers_));
  }
  template <typename M>
  M made(api::Answer<M> answer) {
    EXPECT_TRUE(answer) << answer.error().message;
    return answer ? std::move(*answer) : M();
  }

  core::Node make_node(const std::string& name, const std::string& zone = {}) {
    core::Node node;
    node.mutable_metadata()->set_name(name);
    if (!zone.empty()) (*node.mutable_metadata()->mutable_labels())["topology.kubernetes.io/zone"] = zone;
    return made(wait(client_.create(node)));
  }
  // With the selector app=NAME and the port http, 80, which leads to the port of that name of the pods.
  static core::Service service(const std::string& name) {
    core::Service out;
    out.mutable_metadata()->set_namespace_("default");
    out.mutable_metadata()->set_name(name);
    (*out.mutable_spec()->mutable_selector())["app"] = name;
    core::ServicePort* port = out.mutable_spec()->add_ports();
    port->set_name("http");
    port->set_port(80);
    port->mutable_target_port()->set_type(1);
    port->mutable_target_port()->set_str_val("web");
    out.mutable_spec()->add_ip_families("IPv4");
    return out;
  }
  core::Pod make_pod(const std::string& name, const std::string& app, const std::string& node = "n1", int port = 8080) {
    core::Pod pod;
    pod.mutable_metadata()->set_namespace_("default");
    pod.mutable_metadata()->set_name(name);
    (*pod.mutable_metadata()->mutable_labels())["app"] = app;
    pod.mutable_spec()->set_node_name(node);
    core::Container* container = pod.mutable_spec()->add_containers();
    container->set_name("c");
    container->set_image("i");
    container->add_ports()->set_name("web");
    container->mutable_ports(0)->set_container_port(port);
    return made(wait(client_.create(pod)));
  }
  void tell(core::Pod pod, const std::string& address, bool ready, const std::string& phase = "Running") {
    pod.mutable_status()->set_phase(phase);
    pod.mutable_status()->set_pod_ip(address);
    pod.mutable_status()->clear_pod_ips();
    pod.mutable_status()->add_pod_ips()->set_ip(address);
    pod.mutable_status()->clear_conditions();
    core::PodCondition* condition = pod.mutable_status()->add_conditions();
    condition->set_type("Ready");
    condition->set_status(ready ? "True" : "False");
    condition->mutable_last_transition_time()->set_seconds(now_.seconds);
    made(wait(client_.update_status(pod)));
  }
  core::Pod get_pod(const std::string& name) { return made(wait(client_.get<core::Pod>("default", name))); }
};

}  // namespace gantry::control::services
