// SPDX-License-Identifier: Apache-2.0
#include "cri/boot_records.h"

#include "base/bytes.h"
#include "base/records.h"

namespace gantry::cri {
namespace {

constexpr RecordKind kSandboxKind{.suffix = ".pod", .magic = 0x444f5047 /* GPOD */, .version = 1, .limit = 4U << 20};
constexpr RecordKind kContainerKind{
    .suffix = ".spec", .magic = 0x43505347 /* GSPC */, .version = 1, .limit = 16U << 20};
constexpr RecordKind kPoolKind{.suffix = ".pool", .magic = 0x4c4f5047 /* GPOL */, .version = 1, .limit = 16};
// The one record of a folder has a name of its own.
constexpr std::string_view kSandboxName = "sandbox";

}  // namespace

Status write_sandbox_record(FdRef folder, const v1::PodSandboxConfig& config) {
  return write_record(folder, kSandboxKind, kSandboxName, config.SerializeAsString());
}

Result<std::optional<v1::PodSandboxConfig>> read_sandbox_record(FdRef folder) {
  auto record = read_record(folder, kSandboxKind, kSandboxName);
  if (!record) return std::unexpected(std::move(record.error()));
  if (!*record) return std::nullopt;
  v1::PodSandboxConfig config;
  if (!config.ParseFromString((*record)->payload)) return fail(Code::kDataLoss, "the pod's record is damaged");
  return config;
}

Status write_container_record(FdRef folder, std::string_view id, const ContainerRecord& record) {
  ByteWriter writer;
  writer.string(record.config.SerializeAsString());
  writer.string(images::to_json(record.image));
  writer.string(record.edits);
  writer.string(record.extras);
  writer.string(record.asked);
  return write_record(folder, kContainerKind, id, writer.bytes());
}

Result<std::optional<ContainerRecord>> read_container_record(FdRef folder, std::string_view id) {
  auto record = read_record(folder, kContainerKind, id);
  if (!record) return std::unexpected(std::move(record.error()));
  if (!*record) return std::nullopt;
  ByteReader reader((*record)->payload);
  std::string_view config = reader.string();
  std::string_view image = reader.string();
  ContainerRecord result;
  if (!reader.ok() || !result.config.ParseFromArray(config.data(), static_cast<int>(config.size()))) {
    return fail(Code::kDataLoss, "the container's record is damaged");
  }
  auto parsed = images::parse_image_config(image);
  if (!parsed) return std::unexpected(std::move(parsed.error()).with_code(Code::kDataLoss));
  result.image = std::move(*parsed);
  // Records of gantryds that knew no CDI end here, and of those that knew no plugins a line later.
  if (!reader.at_end()) result.edits = reader.string();
  if (!reader.at_end()) {
    result.extras = reader.string();
    result.asked = reader.string();
  }
  if (!reader.ok()) return fail(Code::kDataLoss, "the container's record is damaged");
  return result;
}

Status remove_container_record(FdRef folder, std::string_view id) { return remove_record(folder, kContainerKind, id); }

Status write_pool_record(FdRef folder) { return write_record(folder, kPoolKind, kSandboxName, ""); }

Result<bool> has_pool_record(FdRef folder) {
  auto record = read_record(folder, kPoolKind, kSandboxName);
  if (!record) return std::unexpected(std::move(record.error()));
  return record->has_value();
}

Status remove_pool_record(FdRef folder) { return remove_record(folder, kPoolKind, kSandboxName); }

}  // namespace gantry::cri
