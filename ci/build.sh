#!/bin/sh
# Build an image from a folder with a Dockerfile, push it under a tag, and note its digest in build/ci/NAME.image.
#
#   ci/build.sh REPOSITORY TAG FOLDER
#
#   BUILDER        buildkit (rootless, needs no daemon), docker or buildah
#   BUILD_OPTIONS  further words for it
# Layers are cached in the registry, beside the image.
set -eu
repository=${1:?usage: ci/build.sh REPOSITORY TAG FOLDER} tag=${2:?usage: ci/build.sh REPOSITORY TAG FOLDER} folder=${3:?usage: ci/build.sh REPOSITORY TAG FOLDER}
name=$(basename "$repository")
notes=build/ci
mkdir -p "$notes"
"$(dirname "$0")/login.sh"

case ${BUILDER:-buildkit} in
  buildkit)
    # shellcheck disable=SC2086  # the options are words
    buildctl-daemonless.sh build --frontend=dockerfile.v0 --local context="$folder" --local dockerfile="$folder" \
      --opt build-arg:VERSION="$tag" --opt build-arg:REVISION="$tag" ${BUILD_OPTIONS:-} \
      --import-cache type=registry,ref="$repository:cache" \
      --export-cache type=registry,ref="$repository:cache",mode=max \
      --output type=image,name="$repository:$tag",push=true --metadata-file "$notes/$name.json"
    digest=$(sed -n 's/.*"containerimage.digest": *"\(sha256:[0-9a-f]*\)".*/\1/p' "$notes/$name.json")
    ;;
  docker)
    docker pull --quiet "$repository:cache" || echo "no cache yet"
    # shellcheck disable=SC2086  # the options are words
    docker build --cache-from "$repository:cache" --build-arg VERSION="$tag" --build-arg REVISION="$tag" \
      --build-arg BUILDKIT_INLINE_CACHE=1 ${BUILD_OPTIONS:-} --tag "$repository:$tag" --tag "$repository:cache" "$folder"
    docker push --quiet "$repository:$tag"
    docker push --quiet "$repository:cache"
    digest=$(docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$repository:$tag" |
      sed -n "s|^$repository@||p" | head -n 1)
    ;;
  buildah)
    # shellcheck disable=SC2086  # the options are words
    buildah build --layers --cache-from "$repository/cache" --cache-to "$repository/cache" \
      --build-arg VERSION="$tag" --build-arg REVISION="$tag" ${BUILD_OPTIONS:-} --tag "$repository:$tag" "$folder"
    buildah push --digestfile "$notes/$name.digest" "$repository:$tag"
    digest=$(cat "$notes/$name.digest")
    ;;
  *)
    echo "BUILDER is $BUILDER: expected buildkit, docker or buildah"
    exit 1
    ;;
esac
[ -n "$digest" ] || { echo "FAILED: $repository:$tag was pushed, but its digest is not known"; exit 1; }
echo "$repository@$digest" >"$notes/$name.image"
echo "$repository:$tag is $digest"
