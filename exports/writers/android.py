"""`Classifier.kt`: a Kotlin class for Android that runs one file of a bundle, written from its contract.

It is the one sample that nobody runs here: there is no Android on this side. Pictures shrink by halves first, because
Android's own scaling looks at four pixels only and would give a network other pictures than those it learnt from.
"""

from __future__ import annotations

from pathlib import Path

from exports.contract import Contract

TEXT = """\
// One picture in, one label out. Written by Litesmith from {contract}; not run on a device yet.
// Put {model} and labels.txt into app/src/main/assets, and into build.gradle.kts:
//   android {{ androidResources {{ noCompress += "tflite" }} }}
//   dependencies {{ implementation("com.google.ai.edge.litert:litert:1.0.1") }}
package litesmith

import android.content.Context
import android.graphics.Bitmap
import java.io.FileInputStream
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.MappedByteBuffer
import java.nio.channels.FileChannel
import kotlin.math.max
import kotlin.math.roundToInt
import org.tensorflow.lite.Interpreter

class Classifier(context: Context) : AutoCloseable {{
    private val net = Interpreter(mapped(context), Interpreter.Options().setNumThreads(1))
    val labels: List<String> = context.assets.open("labels.txt").bufferedReader().readLines()

    /** The label of a picture, and the score of each class: {kind}. */
    fun classify(picture: Bitmap): Pair<String, FloatArray> {{
        val input = filled(shrunk(picture))
        val output = ByteBuffer.allocateDirect(CLASSES * {output_bytes}).order(ByteOrder.nativeOrder())
        net.run(input, output)
        output.rewind()
        val scores = FloatArray(CLASSES) {{ {read} }}
        return labels[scores.indices.maxBy {{ scores[it] }}] to scores
    }}

    override fun close() = net.close()

    private fun filled(picture: Bitmap): ByteBuffer {{
        val bytes = WIDTH * HEIGHT * {channels} * {input_bytes}
        val buffer = ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder())
        val colours = IntArray(WIDTH * HEIGHT)
        picture.getPixels(colours, 0, WIDTH, 0, 0, WIDTH, HEIGHT)
        for (colour in colours) {{
            val red = colour shr 16 and 255
            val green = colour shr 8 and 255
            val blue = colour and 255
{put}
        }}
        buffer.rewind()
        return buffer
    }}

    private fun put(buffer: ByteBuffer, pixel: Float) {{
        val value = pixel * {pixel_scale}f + {pixel_offset}f
        {write}
    }}

    private fun shrunk(picture: Bitmap): Bitmap {{
        var now = picture.copy(Bitmap.Config.ARGB_8888, false)
        while (now.width >= 2 * WIDTH && now.height >= 2 * HEIGHT) {{
            now = Bitmap.createScaledBitmap(now, max(WIDTH, now.width / 2), max(HEIGHT, now.height / 2), true)
        }}
        return Bitmap.createScaledBitmap(now, WIDTH, HEIGHT, true)
    }}

    private fun mapped(context: Context): MappedByteBuffer =
        context.assets.openFd("{model}").use {{ file ->
            FileInputStream(file.fileDescriptor).channel
                .map(FileChannel.MapMode.READ_ONLY, file.startOffset, file.declaredLength)
        }}

    companion object {{
        const val WIDTH = {width}
        const val HEIGHT = {height}
        const val CLASSES = {classes}
    }}
}}
"""

BYTES = {"float32": 4, "int16": 2, "int8": 1, "uint8": 1}
# The file's type -> how a number is put into the buffer, and how one is read.
PUT = {
    "float32": "putFloat({})", "int16": "putShort({}.toShort())", "int8": "put({}.toByte())",
    "uint8": "put({}.toByte())",
}  # fmt: skip
READ = {"float32": "output.getFloat()", "int16": "output.getShort()", "int8": "output.get()", "uint8": "output.get()"}
LIMITS = {"int16": (-32768, 32767), "int8": (-128, 127), "uint8": (0, 255)}


def classifier_kt(artifact: Path, contract: Contract) -> str:
    """The Kotlin text for one TFLite file."""
    image, answer = contract.input, contract.output
    return TEXT.format(
        contract=f"{artifact.stem}.contract.json",
        model=artifact.name,
        kind="logits, before a softmax" if answer.kind == "logits" else "as the file gives them",
        width=image.width,
        height=image.height,
        channels=image.channels,
        classes=answer.classes,
        input_bytes=BYTES[image.dtype],
        output_bytes=BYTES[answer.dtype],
        pixel_scale=repr(image.pixel_scale),
        pixel_offset=repr(image.pixel_offset),
        put=_colours(image.channels),
        write=f"buffer.{PUT[image.dtype].format(_rounded(contract))}",
        read=_read(contract),
    )


def _colours(channels: int) -> str:
    """Grey as Pillow has it: ITU-R 601-2 luma."""
    lines = ["put(buffer, (0.299f * red + 0.587f * green + 0.114f * blue).roundToInt().toFloat())"]
    if channels == 3:
        lines = [f"put(buffer, {colour}.toFloat())" for colour in ("red", "green", "blue")]
    return "\n".join(f"            {line}" for line in lines)


def _rounded(contract: Contract) -> str:
    image = contract.input
    if image.scale is None:
        return "value"
    low, high = LIMITS[image.dtype]
    return f"((value / {image.scale!r}f).roundToInt() + {image.zero_point}).coerceIn({low}, {high})"


def _read(contract: Contract) -> str:
    answer = contract.output
    raw = f"{READ[answer.dtype]}.toInt() and 255" if answer.dtype == "uint8" else READ[answer.dtype]
    return raw if answer.scale is None else f"(({raw}) - {answer.zero_point}) * {answer.scale!r}f"
