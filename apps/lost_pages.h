// SPDX-License-Identifier: Apache-2.0
// Files that are mapped into memory and become shorter meanwhile, or whose disk fails: the system
// answers the next access with a signal that kills. Here such a page reads as zeros instead, the
// run is asked to stop, and the error names the file.
#pragma once

#include <string>

namespace vq::apps {

/// From now on lost pages do not kill the program.
void survive_lost_pages();

/// Whether a page was lost: what was computed since may be wrong.
bool pages_were_lost();

/// The one line that says which file it was.
std::string lost_pages_message();

}  // namespace vq::apps
