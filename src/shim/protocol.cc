// SPDX-License-Identifier: Apache-2.0
#include "shim/protocol.h"

namespace gantry::shim {
namespace {

// One function describes a body for both directions; its codec is a Writer or a Reader.
struct Writer {
  ByteWriter out;
  void field(const std::string& value) { out.string(value); }
  void field(bool value) { out.integer(static_cast<std::uint8_t>(value)); }
  template <typename T>
    requires(std::is_integral_v<T> && !std::is_same_v<T, bool>)
  void field(T value) {
    out.integer(value);
  }
  void later(const auto& value) { field(value); }
  template <typename T>
  void list(const std::vector<T>& values, auto each) {
    out.integer(static_cast<std::uint32_t>(values.size()));
    for (const T& value : values) each(value);
  }
};

struct Reader {
  ByteReader in;
  void field(std::string& value) { value = std::string(in.string()); }
  void field(bool& value) { value = in.integer<std::uint8_t>() != 0; }
  template <typename T>
    requires(std::is_integral_v<T> && !std::is_same_v<T, bool>)
  void field(T& value) {
    value = in.integer<T>();
  }
  // One that the first version did not have.
  void later(auto& value) {
    if (!in.at_end()) field(value);
  }
  template <typename T>
  void list(std::vector<T>& values, auto each) {
    auto count = in.integer<std::uint32_t>();
    // A packet bounds what can follow: the first value that is not there ends it, and a count alone makes just one.
    for (std::uint32_t i = 0; i < count && in.ok(); ++i) {
      values.emplace_back();
      each(values.back());
    }
  }
};

void take_timeout(const runtime::Hook&, std::int32_t) {}
void take_timeout(runtime::Hook& hook, std::int32_t timeout) {
  if (timeout > 0) hook.timeout = timeout;
}

void describe_spawn(auto& codec, auto& v) {
  codec.field(v.sandbox_id);
  codec.field(v.new_net);
  codec.field(v.new_ipc);
  codec.field(v.new_uts);
  codec.field(v.shm_bytes);
  codec.field(v.root_uid);
  codec.field(v.root_gid);
}
void describe_user_namespace(auto& codec, auto& v) {
  auto list = [&](auto& mappings) {
    codec.list(mappings, [&](auto& each) {
      codec.field(each.container);
      codec.field(each.host);
      codec.field(each.size);
    });
  };
  list(v.ids.uids);
  list(v.ids.gids);
}
void describe_configure(auto& codec, auto& v) {
  codec.field(v.hostname);
  codec.list(v.sysctls, [&](auto& sysctl) {
    codec.field(sysctl.first);
    codec.field(sysctl.second);
  });
  codec.field(v.pod_pid);
}
void describe_start(auto& codec, auto& v) {
  codec.field(v.container_id);
  codec.field(v.terminal);
  codec.field(v.open_stdin);
  codec.field(v.join_pod_pid);
  codec.field(v.target_container);
}
void describe_hook(auto& codec, auto& v) {
  auto text = [&](auto& each) { codec.field(each); };
  codec.field(v.path);
  codec.list(v.args, text);
  codec.list(v.env, text);
  std::int32_t timeout = v.timeout.value_or(0);  // 0: none
  codec.field(timeout);
  take_timeout(v, timeout);
}
void describe_hooks(auto& codec, auto& v) {
  codec.field(v.root);
  codec.field(v.state_before);
  codec.field(v.state_behind);
  codec.list(v.create_container, [&](auto& hook) { describe_hook(codec, hook); });
}
void describe_runtime_call(auto& codec, auto& v) {
  auto text = [&](auto& each) { codec.field(each); };
  codec.field(v.program);
  codec.list(v.env, text);
  codec.list(v.make, text);
  codec.list(v.start, text);
  codec.field(v.folder);
  codec.field(v.pid_file);
  codec.field(v.mount_point);
  codec.field(v.store);
  codec.field(v.overlay);
  codec.field(v.shm_place);
  codec.list(v.mounts, [&](auto& mount) {
    codec.field(mount.place);
    codec.field(mount.is_file);
    codec.field(mount.source);
    codec.field(mount.overlay);
    codec.field(mount.sub_path);
  });
  codec.later(v.cover);
}
void describe_exec(auto& codec, auto& v) {
  codec.field(v.exec_id);
  codec.field(v.container_id);
  codec.field(v.terminal);
}
void describe_signal(auto& codec, auto& v) {
  codec.field(v.container_id);
  codec.field(v.signal);
  codec.field(v.all);
}
void describe_resize(auto& codec, auto& v) {
  codec.field(v.container_id);
  codec.field(v.rows);
  codec.field(v.columns);
}
void describe_attach(auto& codec, auto& v) {
  codec.field(v.attach_id);
  codec.field(v.container_id);
  codec.field(v.in);
  codec.field(v.out);
  codec.field(v.err);
  codec.field(v.close_input);
}
void describe_attach_reference(auto& codec, auto& v) { codec.field(v.attach_id); }
void describe_started(auto& codec, auto& v) {
  codec.field(v.pid);
  codec.field(v.started_at);
}
void describe_failed(auto& codec, auto& v) {
  codec.field(v.code);
  codec.field(v.message);
}
void describe_hello(auto& codec, auto& v) {
  codec.field(v.sandbox_id);
  codec.field(v.pid);
}
void describe_exited(auto& codec, auto& v) {
  codec.field(v.container_id);
  codec.field(v.code);
  codec.field(v.signal);
  codec.field(v.started_at);
  codec.field(v.finished_at);
}
void describe_exec_exited(auto& codec, auto& v) {
  codec.field(v.exec_id);
  codec.field(v.code);
  codec.field(v.signal);
}
void describe_launched(auto& codec, auto& v) {
  codec.field(v.container_id);
  codec.field(v.pid);
  codec.field(v.started_at);
}
void describe_state(auto& codec, auto& v) {
  codec.field(v.sandbox_id);
  codec.field(v.pod_pid);
  codec.list(v.containers, [&](auto& container) {
    codec.field(container.container_id);
    codec.field(container.pid);
    codec.field(container.exited);
    describe_exited(codec, container.exit);
  });
}

void describe_container(auto& codec, auto& v) { codec.field(v.container_id); }
void describe_exec_reference(auto& codec, auto& v) { codec.field(v.exec_id); }

template <typename T, typename Describe>
std::string encode_with(const T& value, Describe describe_body) {
  Writer writer;
  describe_body(writer, value);
  return std::move(writer.out).take();
}
template <typename T, typename Describe>
Result<T> decode_with(std::string_view body, Describe describe_body) {
  Reader reader{ByteReader(body)};
  T value;
  describe_body(reader, value);
  if (!reader.in.ok())
    return invalid_argument("shim message: body of " + std::to_string(body.size()) + " bytes is too short");
  return value;
}

}  // namespace

#define GANTRY_SHIM_BODY(TYPE, DESCRIBE)                                              \
  std::string encode(const TYPE& value) {                                             \
    return encode_with(value, [](auto& codec, auto& v) { DESCRIBE(codec, v); });      \
  }                                                                                   \
  template <>                                                                         \
  Result<TYPE> decode<TYPE>(std::string_view body) {                                  \
    return decode_with<TYPE>(body, [](auto& codec, auto& v) { DESCRIBE(codec, v); }); \
  }

GANTRY_SHIM_BODY(SpawnRequest, describe_spawn)
GANTRY_SHIM_BODY(UserNamespaceRequest, describe_user_namespace)
GANTRY_SHIM_BODY(ConfigureRequest, describe_configure)
GANTRY_SHIM_BODY(StartRequest, describe_start)
GANTRY_SHIM_BODY(ContainerHooks, describe_hooks)
GANTRY_SHIM_BODY(RuntimeCall, describe_runtime_call)
GANTRY_SHIM_BODY(ExecRequest, describe_exec)
GANTRY_SHIM_BODY(SignalRequest, describe_signal)
GANTRY_SHIM_BODY(ContainerReference, describe_container)
GANTRY_SHIM_BODY(ExecReference, describe_exec_reference)
GANTRY_SHIM_BODY(ResizeRequest, describe_resize)
GANTRY_SHIM_BODY(AttachRequest, describe_attach)
GANTRY_SHIM_BODY(AttachReference, describe_attach_reference)
GANTRY_SHIM_BODY(StartedAnswer, describe_started)
GANTRY_SHIM_BODY(FailedAnswer, describe_failed)
GANTRY_SHIM_BODY(HelloEvent, describe_hello)
GANTRY_SHIM_BODY(ExitedEvent, describe_exited)
GANTRY_SHIM_BODY(ExecExitedEvent, describe_exec_exited)
GANTRY_SHIM_BODY(LaunchedEvent, describe_launched)
GANTRY_SHIM_BODY(StateAnswer, describe_state)

#undef GANTRY_SHIM_BODY

std::string encode_packet(Kind kind, std::uint32_t request, std::string_view body) {
  ByteWriter out;
  out.integer(kMagic);
  out.integer(kVersion);
  out.integer(kind);
  out.integer(request);
  std::string packet = std::move(out).take();
  packet.append(body);
  return packet;
}

Result<Message> decode_packet(std::string_view packet) {
  ByteReader reader(packet);
  Message message;
  message.header.magic = reader.integer<std::uint32_t>();
  message.header.version = reader.integer<std::uint16_t>();
  message.header.kind = reader.integer<Kind>();
  message.header.request = reader.integer<std::uint32_t>();
  if (!reader.ok() || message.header.magic != kMagic) {
    return invalid_argument("shim message: " + std::to_string(packet.size()) +
                            " bytes without the header that was expected");
  }
  message.body = reader.rest();
  return message;
}

std::string exit_record_name(std::string_view container_id) { return "exit-" + std::string(container_id); }

}  // namespace gantry::shim
