// SPDX-License-Identifier: Apache-2.0
// A tool of the build: reads what `protoc --include_source_info --descriptor_set_out` wrote, and writes the C++ of
// kubernetes/comments.h.
#include <google/protobuf/descriptor.pb.h>

#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <string>

namespace {

namespace pb = google::protobuf;

// Numbers in the paths of source locations: fields of FileDescriptorProto and DescriptorProto.
constexpr int kMessage = pb::FileDescriptorProto::kMessageTypeFieldNumber;
constexpr int kField = pb::DescriptorProto::kFieldFieldNumber;

std::string one_line(const std::string& comment) {
  std::istringstream words(comment);
  std::string out;
  for (std::string word; words >> word;) out += (out.empty() ? "" : " ") + word;
  return out;
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

void collect(const pb::FileDescriptorProto& file, std::map<std::string, std::string>* comments) {
  for (const pb::SourceCodeInfo::Location& location : file.source_code_info().location()) {
    const int depth = location.path_size();
    const bool message = depth == 2 && location.path(0) == kMessage;
    const bool field = depth == 4 && location.path(0) == kMessage && location.path(2) == kField;
    if ((!message && !field) || location.leading_comments().empty()) continue;
    const pb::DescriptorProto& type = file.message_type(location.path(1));
    std::string name = file.package() + "." + type.name();
    if (field) name += "." + type.field(location.path(3)).name();
    (*comments)[name] = one_line(location.leading_comments());
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, std::string> comments;
  for (int i = 1; i < argc; ++i) {
    pb::FileDescriptorSet files;
    std::ifstream in(argv[i], std::ios::binary);
    if (!files.ParseFromIstream(&in)) {
      std::cerr << argv[i] << ": no descriptors\n";
      return 1;
    }
    for (const pb::FileDescriptorProto& file : files.file()) collect(file, &comments);
  }
  std::cout << "#include \"proto/kubernetes/comments.h\"\n#include <algorithm>\n#include <iterator>\n"
               "namespace {\nstruct Comment {\n  std::string_view name;\n  std::string_view text;\n};\n"
               "constexpr Comment kComments[] = {\n";
  for (const auto& [name, text] : comments) std::cout << "    {" << quoted(name) << ", " << quoted(text) << "},\n";
  std::cout << "};\n}  // namespace\nstd::string_view gantry::kubernetes::comment(std::string_view full_name) {\n"
               "  const Comment* found = std::ranges::lower_bound(kComments, full_name, {}, &Comment::name);\n"
               "  return found != std::end(kComments) && found->name == full_name ? found->text : "
               "std::string_view();\n}\n";
}
