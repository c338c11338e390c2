// SPDX-License-Identifier: Apache-2.0
// The defaults that a schema declares as constants, such as a port's protocol. Conditional ones are functions of the
// kind (kinds/GROUP/KIND.h), which call this first.
#pragma once

namespace google::protobuf {
class Message;
}

namespace gantry::api {

// Sets every unset field that has a constant default, in this message and in all that it holds. What is not there is
// not made: a field of an absent struct stays absent. Precondition: normalized (codec.h), and it is afterwards.
void apply_constant_defaults(google::protobuf::Message* message);

}  // namespace gantry::api
