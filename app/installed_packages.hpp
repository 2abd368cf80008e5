// find_installed_packages(): `import gilcheck`, for one, finds what was installed with the host.
#pragma once

namespace handoff {

/// From now on the packages are found in the host's own PREFIX/lib/python3.x, where Python does
/// not look by itself. The python of a virtual environment, which is a link to the host, finds them
/// too. Whatever is found elsewhere, these packages included, is found there as before, because
/// sys.path does not change. A build has the folders of an installation. Does nothing if the
/// packages are not beside the host.
///
/// GIL:    held. Leaves no error set.
void find_installed_packages();

}  // namespace handoff
