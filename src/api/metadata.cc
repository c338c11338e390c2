// SPDX-License-Identifier: Apache-2.0
#include "api/metadata.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/message.h>

#include <memory>

#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::api {

namespace {

namespace pb = google::protobuf;

const pb::FieldDescriptor* field_of(const pb::Descriptor& descriptor, std::string_view json_name) {
  for (int i = 0; i < descriptor.field_count(); ++i) {
    if (descriptor.field(i)->json_name() == json_name) return descriptor.field(i);
  }
  return nullptr;
}

}  // namespace

bool has_metadata(const pb::Descriptor& descriptor) {
  const pb::FieldDescriptor* field = field_of(descriptor, "metadata");
  return field != nullptr && field->message_type() == ObjectMeta::descriptor();
}

const ObjectMeta& metadata_of(const Message& message) {
  const pb::FieldDescriptor* field = field_of(*message.GetDescriptor(), "metadata");
  return static_cast<const ObjectMeta&>(message.GetReflection()->GetMessage(message, field));
}

ObjectMeta* mutable_metadata_of(Message* message) {
  const pb::FieldDescriptor* field = field_of(*message->GetDescriptor(), "metadata");
  return static_cast<ObjectMeta*>(message->GetReflection()->MutableMessage(message, field));
}

void clear_field(Message* message, std::string_view name) {
  const pb::FieldDescriptor* field = field_of(*message->GetDescriptor(), name);
  if (field != nullptr) message->GetReflection()->ClearField(message, field);
}

void copy_field(const Message& from, std::string_view name, Message* to) {
  const pb::FieldDescriptor* field = field_of(*from.GetDescriptor(), name);
  if (field == nullptr) return;
  // Swapped in from a copy of the whole: the one way that fits every type of field.
  const std::unique_ptr<Message> copy(from.New());
  copy->CopyFrom(from);
  to->GetReflection()->SwapFields(to, copy.get(), {field});
}

bool equal_but(const Message& a, const Message& b, std::initializer_list<std::string_view> fields) {
  const std::unique_ptr<Message> left(a.New());
  const std::unique_ptr<Message> right(b.New());
  left->CopyFrom(a);
  right->CopyFrom(b);
  for (const std::string_view field : fields) {
    clear_field(left.get(), field);
    clear_field(right.get(), field);
  }
  const auto bytes = [](const Message& message) {
    std::string out;
    pb::io::StringOutputStream stream(&out);
    pb::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&coded);
    return out;
  };
  return bytes(*left) == bytes(*right);
}

}  // namespace gantry::api
