// What is installed with the host: the packages that it finds, and the folder that they are in.
#pragma once

#include <filesystem>
#include <string>

namespace handoff {

/// The path of a file or folder among the Python packages that were installed with the host, in its
/// own PREFIX/lib/python3.x; the build's folder has the same for a host that is not installed.
/// Found from the program's own path, whatever link it was started by. Empty where it is not there.
[[nodiscard]] std::filesystem::path installed_with_host(std::string const& name);

/// From now on `import gilcheck` and `import giltrace` find what was installed with the host, where
/// Python does not look by itself; also in a virtual environment's python, which is a link to the
/// host. All that is found elsewhere, these two included, is found there as before: sys.path is as
/// it was. Does nothing where the host is not installed beside them.
///
/// GIL:    held. Leaves no error set.
void find_installed_packages();

}  // namespace handoff
