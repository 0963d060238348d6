// Paths of directories as people give them.
#ifndef LARDER_BACKUP_PATH_H_
#define LARDER_BACKUP_PATH_H_

#include <string>

namespace larder::backup {

// The directory that holds `path`, which has no slash at its end.
inline std::string ParentOf(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Without slashes at its end; "/" stays.
inline std::string WithoutSlashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

}  // namespace larder::backup

#endif  // LARDER_BACKUP_PATH_H_
