// find_installed_packages(): `import gilcheck`, for one, finds what was installed with the host.
#pragma once

namespace handoff {

/// From now on the packages are found in the host's own PREFIX/lib/python3.x, where Python does
/// not look by itself; also by a virtual environment's python, which is a link to the host. All
/// that is found elsewhere, these included, is found there as before: sys.path is as it was.
/// A build has the folders of an installation. Does nothing where they are not beside the host.
///
/// GIL:    held. Leaves no error set.
void find_installed_packages();

}  // namespace handoff
