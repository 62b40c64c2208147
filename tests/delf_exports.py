"""Writes DELF exports for the tests: the official graph with seeded variables, and small models of the other forms."""

import shutil

import numpy as np

from landmark_spark.core.delf_files import encode_datum

__all__ = ["fill_official_export", "write_boxes_export", "write_hub_export", "write_pca"]


def fill_official_export(source, folder):
    """Copy the official DELF v1 export with seeded values for its 222 variables and for the PCA's matrix."""
    import tensorflow as tf

    shutil.copytree(source / "model", folder / "model", copy_function=shutil.copyfile)
    for each in (folder, *folder.rglob("*")):
        each.chmod(0o755)
    prefix = str(folder / "model" / "variables" / "variables")
    shapes = tf.train.load_checkpoint(prefix).get_variable_to_shape_map()
    generator = np.random.default_rng(0)
    names = sorted(shapes)
    values = [_seeded(name, shapes[name], generator) for name in names]
    tf.raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), tensors=values)
    write_pca(folder, generator.normal(size=(64, 1024)))
    shutil.copyfile(source / "pca" / "mean.datum", folder / "pca" / "mean.datum")
    return folder


def _seeded(name, shape, generator):
    """Values that keep the activations of a deep network at about one."""
    if name.endswith("weights"):
        return generator.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape).astype(np.float32)
    return np.full(shape, name.endswith(("gamma", "moving_variance")), np.float32)


def write_pca(folder, matrix, mean=None):
    """Put a PCA into an export."""
    (folder / "pca").mkdir(parents=True)
    mean = np.zeros((1, matrix.shape[1])) if mean is None else mean
    (folder / "pca" / "mean.datum").write_bytes(encode_datum(mean))
    (folder / "pca" / "pca_proj_mat.datum").write_bytes(encode_datum(matrix))


def write_boxes_export(folder, *, size=8, log=None, with_global=False):
    """Write a model as the official TensorFlow 2 exporter does, into ``model/``.

    Its features: one for each of the scales, at most ``input_max_feature_num``, where the scale reaches the threshold.
    The k-th has the box (ymin 10 k, xmin 20 k, ymax 10 k + 4, xmax 20 k + 2) and a descriptor of ones but for the
    mean of the picture, of which each call leaves a line in ``log``.
    """
    import tensorflow as tf

    def find(image, scales, max_features, threshold):
        mean = tf.reduce_mean(tf.cast(image, tf.float32))
        if log is not None:
            tf.print(mean, output_stream=f"file://{log}")
        chosen = tf.boolean_mask(scales, scales >= threshold)[:max_features]
        number = tf.range(tf.size(chosen), dtype=tf.float32)
        boxes = tf.stack([10 * number, 20 * number, 10 * number + 4, 20 * number + 2], axis=1)
        features = tf.concat([tf.ones([tf.size(chosen), size - 1]), tf.fill([tf.size(chosen), 1], mean)], axis=1)
        return {"boxes": boxes, "features": features, "scales": 1 / chosen, "scores": chosen[:, None]}

    specs = [
        tf.TensorSpec([None, None, 3], tf.uint8, "input_image"),
        tf.TensorSpec([None], tf.float32, "input_scales"),
        tf.TensorSpec([], tf.int32, "input_max_feature_num"),
        tf.TensorSpec([], tf.float32, "input_abs_thres"),
    ]
    module = tf.Module()
    if with_global:
        specs.append(tf.TensorSpec([None], tf.int32, "input_global_scales_ind"))
        module.find = tf.function(
            lambda image, scales, number, threshold, indices: (
                find(image, scales, number, threshold) | {"global_descriptors": tf.gather(scales, indices)}
            ),
            input_signature=specs,
        )
    else:
        module.find = tf.function(find, input_signature=specs)
    tf.saved_model.save(module, str(folder / "model"))
    return folder


def write_hub_export(folder):
    """Write a TensorFlow 1 graph as the module google/delf/1 is: signature ``default``, and no tag.

    It finds two features: at (y, x) = (3, 5), whose descriptor begins with the brightest value of the image, and at
    (7, 2), whose begins with the number of scales; both go on with the threshold and the most features.
    """
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        inputs = {
            "image": v1.placeholder(tf.float32, [None, None, 3]),
            "score_threshold": v1.placeholder(tf.float32, []),
            "image_scales": v1.placeholder(tf.float32, [None]),
            "max_feature_num": v1.placeholder(tf.int32, []),
        }
        first = [tf.reduce_max(inputs["image"]), tf.cast(tf.size(inputs["image_scales"]), tf.float32)]
        rest = [inputs["score_threshold"], tf.cast(inputs["max_feature_num"], tf.float32)]
        outputs = {
            "locations": tf.constant([[3.0, 5.0], [7.0, 2.0]]),
            "descriptors": tf.stack([tf.stack([each, *rest]) for each in first]),
        }
        signature = v1.saved_model.build_signature_def(
            {name: v1.saved_model.build_tensor_info(each) for name, each in inputs.items()},
            {name: v1.saved_model.build_tensor_info(each) for name, each in outputs.items()},
        )
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, [], signature_def_map={"default": signature})
        builder.save()
    return folder
