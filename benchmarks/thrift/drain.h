// What an agent does meanwhile: the rings do not fill. Not while something is measured.
#pragma once

namespace seer::bench {

void Drain();

}  // namespace seer::bench
